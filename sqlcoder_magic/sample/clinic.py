"""The sample clinic: patients, doctors, two years of appointments and what was prescribed.

A second domain, so that the questions do not measure one schema alone. Everything is
invented; how the rows are drawn is said in `shop`.
"""

from __future__ import annotations

from datetime import date, timedelta
from random import Random
from typing import Any

from sqlcoder_magic.sample.build import Rows, SampleDatabase
from sqlcoder_magic.sample.people import names, people

_DDL = """
CREATE TABLE departments (
  department_id INTEGER PRIMARY KEY, -- unique ID of the department
  name TEXT NOT NULL, -- name of the department, such as Cardiology
  floor INTEGER NOT NULL, -- floor of the building
  annual_budget REAL NOT NULL -- budget for a year in US dollars
);
CREATE TABLE doctors (
  doctor_id INTEGER PRIMARY KEY, -- unique ID of the doctor
  name TEXT NOT NULL, -- full name of the doctor
  department_id INTEGER NOT NULL REFERENCES departments (department_id), -- where the doctor works
  hire_date DATE NOT NULL, -- first day at the clinic
  salary REAL NOT NULL -- salary for a year in US dollars
);
CREATE TABLE patients (
  patient_id INTEGER PRIMARY KEY, -- unique ID of the patient
  name TEXT NOT NULL, -- full name of the patient
  gender TEXT NOT NULL, -- female or male
  birth_date DATE NOT NULL, -- day of birth
  city TEXT NOT NULL, -- city where the patient lives
  insurance TEXT -- name of the health insurance, NULL if there is none
);
CREATE TABLE appointments (
  appointment_id INTEGER PRIMARY KEY, -- unique ID of the appointment
  patient_id INTEGER NOT NULL REFERENCES patients (patient_id), -- patient who made it
  doctor_id INTEGER NOT NULL REFERENCES doctors (doctor_id), -- doctor it was made with
  appointment_date DATE NOT NULL, -- day of the appointment
  duration_minutes INTEGER NOT NULL, -- planned length in minutes
  fee REAL NOT NULL, -- fee in US dollars
  status TEXT NOT NULL -- completed, cancelled or no-show
);
CREATE TABLE medicines (
  medicine_id INTEGER PRIMARY KEY, -- unique ID of the medicine
  name TEXT NOT NULL, -- name of the medicine
  form TEXT NOT NULL, -- tablet, capsule, syrup, cream or injection
  unit_price REAL NOT NULL -- price of one pack in US dollars
);
CREATE TABLE prescriptions (
  prescription_id INTEGER PRIMARY KEY, -- unique ID of the prescription
  appointment_id INTEGER NOT NULL REFERENCES appointments (appointment_id), -- when it was written
  medicine_id INTEGER NOT NULL REFERENCES medicines (medicine_id), -- medicine that was prescribed
  packs INTEGER NOT NULL, -- number of packs
  days INTEGER NOT NULL -- how many days to take it
);
"""

# name, floor, budget, doctors, fee
_DEPARTMENTS = (
    ("Cardiology", 3, 1_450_000.0, 4, 180),
    ("Dermatology", 2, 620_000.0, 3, 120),
    ("Neurology", 3, 1_280_000.0, 3, 195),
    ("Orthopedics", 1, 1_150_000.0, 4, 160),
    ("Pediatrics", 1, 890_000.0, 4, 95),
    ("General Medicine", 2, 980_000.0, 6, 80),
)
_MEDICINES = (
    ("Amoxicillin", "capsule", 11.5),
    ("Ibuprofen", "tablet", 6.9),
    ("Paracetamol", "tablet", 4.5),
    ("Metformin", "tablet", 9.8),
    ("Atorvastatin", "tablet", 14.2),
    ("Lisinopril", "tablet", 8.4),
    ("Omeprazole", "capsule", 12.1),
    ("Amlodipine", "tablet", 7.6),
    ("Salbutamol", "injection", 21.0),
    ("Insulin Glargine", "injection", 68.0),
    ("Hydrocortisone", "cream", 9.3),
    ("Clotrimazole", "cream", 7.2),
    ("Cetirizine", "tablet", 5.9),
    ("Loratadine", "syrup", 8.8),
    ("Ambroxol", "syrup", 6.4),
    ("Sumatriptan", "tablet", 27.5),
    ("Gabapentin", "capsule", 18.6),
    ("Diclofenac", "cream", 10.7),
    ("Prednisolone", "tablet", 13.4),
    ("Azithromycin", "capsule", 16.9),
    ("Warfarin", "tablet", 12.8),
    ("Vitamin D", "capsule", 5.2),
    ("Levothyroxine", "tablet", 9.1),
    ("Methotrexate", "injection", 54.0),
)
_CITIES = ("Portland", "Salem", "Eugene", "Bend", "Vancouver", "Hillsboro")
_INSURANCES = ("Cascade Mutual", "Evergreen Care", "Northwind Health", "Riverbank Insurance", None)
_FIRST_DAY, _LAST_DAY = date(2023, 1, 1), date(2024, 12, 31)
_PATIENTS, _WITHOUT_APPOINTMENT = 220, 9
_MONTH = (1.3, 1.25, 1.1, 1.0, 0.95, 0.85, 0.75, 0.8, 1.0, 1.1, 1.2, 1.05)


def _rows() -> dict[str, Rows]:
    rng = Random(19650314)
    doctors = _doctors(rng)
    appointments = _appointments(rng, [row[2] for row in doctors])
    return {
        "departments": [
            (i + 1, name, floor, budget) for i, (name, floor, budget, *_) in enumerate(_DEPARTMENTS)
        ],
        "doctors": doctors,
        "patients": _patients(rng),
        "appointments": appointments,
        "medicines": [(i + 1, *row) for i, row in enumerate(_MEDICINES)],
        "prescriptions": _prescriptions(rng, appointments),
    }


def _day_between(rng: Random, first: date, last: date) -> date:
    return first + timedelta(days=rng.randrange((last - first).days + 1))


def _doctors(rng: Random) -> Rows:
    departments = [i + 1 for i, row in enumerate(_DEPARTMENTS) for _ in range(row[3])]
    return [
        (
            i + 1,
            name,
            departments[i],
            _day_between(rng, date(2005, 1, 1), date(2022, 12, 31)).isoformat(),
            110_000.0 + 250 * rng.randrange(500),
        )
        for i, name in enumerate(names(rng, len(departments)))
    ]


def _patients(rng: Random) -> Rows:
    return [
        (
            i + 1,
            name,
            gender,
            _day_between(rng, date(1938, 1, 1), date(2021, 12, 31)).isoformat(),
            rng.choices(_CITIES, weights=(9, 5, 4, 3, 3, 2))[0],
            rng.choices(_INSURANCES, weights=(6, 5, 4, 3, 2))[0],
        )
        for i, (name, gender) in enumerate(people(rng, _PATIENTS))
    ]


def _appointments(rng: Random, department_of: list[int]) -> Rows:
    """On weekdays, more of them in winter; one in eight does not take place."""
    rows: list[tuple[Any, ...]] = []
    sick = [rng.choice((1, 1, 2, 3, 6)) for _ in range(_PATIENTS - _WITHOUT_APPOINTMENT)]
    load = [rng.randrange(3, 12) for _ in department_of]
    day = _FIRST_DAY
    while day <= _LAST_DAY:
        usual = 0.0 if day.weekday() > 4 else 5 * _MONTH[day.month - 1]
        for _ in range(sum(rng.random() < usual / 20 for _ in range(20))):
            patient = rng.choices(range(len(sick)), weights=sick)[0]
            doctor = rng.choices(range(len(department_of)), weights=load)[0]
            minutes = rng.choices((15, 30, 45, 60), weights=(4, 6, 2, 1))[0]
            fee = float(_DEPARTMENTS[department_of[doctor] - 1][4] + minutes)
            status = rng.choices(("completed", "cancelled", "no-show"), weights=(28, 3, 1))[0]
            rows.append(
                (len(rows) + 1, patient + 1, doctor + 1, day.isoformat(), minutes, fee, status)
            )
        day += timedelta(days=1)
    return rows


def _prescriptions(rng: Random, appointments: Rows) -> Rows:
    """None to three for an appointment that took place."""
    rows: list[tuple[Any, ...]] = []
    often = [rng.randrange(1, 12) for _ in _MEDICINES]
    for appointment_id, *_, status in appointments:
        count = rng.choices((0, 1, 2, 3), weights=(4, 5, 2, 1))[0] if status == "completed" else 0
        for _ in range(count):
            medicine = rng.choices(range(1, len(_MEDICINES) + 1), weights=often)[0]
            days = rng.choice((5, 7, 10, 14, 30))
            rows.append((len(rows) + 1, appointment_id, medicine, rng.randrange(1, 5), days))
    return rows


CLINIC = SampleDatabase("clinic", _DDL.strip(), _rows)
