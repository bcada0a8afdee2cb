"""Measuring: suites of questions with known answers, rules, a runner and reports.

From a shell: `python -m sqlcoder_magic.evals run|compare|report|ablation`.
"""
