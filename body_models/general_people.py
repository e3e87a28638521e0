"""People whom a survey of soldiers lacks: the very heavy, the thin, the old, drawn from published statistics.

US adults of 20 years and more, NHANES 2015-2018 (Fryar et al. 2021, Vital and Health Statistics 3(46)): stature
175.3 cm (men) and 161.3 cm (women), mean body mass index 29.4 and 29.8 with 95th percentiles near 40 and 43, waist
102 and 98 cm. The numbers were written down from memory of that report, rounded, and not checked against it; the
slopes of the waist are ours. The measures besides stature, weight and waist are those that the survey's own people of
the same sex would have on average at these three, continued in a straight line.
"""

from __future__ import annotations

import numpy as np
from measurements import TABLE

PER_SEX, SEED = 150, 20261130
# mean and spread of stature (m); median and log spread of the body mass index; waist (m) at a BMI of 29, its slope
_MEN = (1.753, 0.076, 28.7, 0.21, 1.01, 0.0225)
_WOMEN = (1.613, 0.071, 28.6, 0.255, 0.965, 0.0195)
_YEARS = (20.0, 80.0)


def draw(values: np.ndarray, gender: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Target measures (N, M), gender (N,) and age (N,) of people beyond the survey.

    Args:
        values: (P, M) the survey's measures.
        gender: (P,) 1 for women.
    """
    rng = np.random.default_rng(SEED)
    names = list(TABLE)
    known = [names.index(n) for n in ("stature", "weight", "waist_girth")]
    targets, sexes, ages = [], [], []
    for sex, (height, spread, bmi, log_spread, waist, slope) in enumerate((_MEN, _WOMEN)):
        survey = values[gender == sex]
        centre = survey[:, known].mean(0)
        gain, *_ = np.linalg.lstsq(survey[:, known] - centre, survey - survey.mean(0), rcond=None)
        while sum(s == sex for s in sexes) < PER_SEX:
            age = rng.uniform(*_YEARS)
            stature = rng.normal(height, spread) - 0.0006 * max(age - 40, 0)
            mass_index = bmi * np.exp(log_spread * rng.normal())
            around = waist + slope * (mass_index - 29) + 0.0008 * (age - 50) + 0.04 * rng.normal()
            if (20 < mass_index < 33 and age < 50) or not 16 < mass_index < 52:
                continue
            given = np.array([stature, mass_index * stature**2, around])
            target = survey.mean(0) + (given - centre) @ gain
            target[known] = given
            targets.append(target)
            sexes.append(sex)
            ages.append(age)
    return np.array(targets), np.array(sexes, float), np.array(ages)
