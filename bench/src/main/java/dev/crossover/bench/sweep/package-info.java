// SPDX-License-Identifier: Apache-2.0
/// Sweeps: which points, in which order, what does not fit, and what was measured before.
///
/// A sweep knows nothing of JMH: it asks a [dev.crossover.bench.sweep.Forks] for one fork of one
/// point at a time, and appends what it learns to a result file.
@NullMarked
package dev.crossover.bench.sweep;

import org.jspecify.annotations.NullMarked;
