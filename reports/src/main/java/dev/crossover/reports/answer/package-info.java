// SPDX-License-Identifier: Apache-2.0
/// What the measurements say: scaling exponents, crossovers, Pareto fronts, roofline and noise.
///
/// Pure computation on result records, without drawing or writing. Every number that leaves this
/// package carries its interval or the reason why it has none, and nothing is extrapolated beyond
/// the measured lengths.
@NullMarked
package dev.crossover.reports.answer;

import org.jspecify.annotations.NullMarked;
