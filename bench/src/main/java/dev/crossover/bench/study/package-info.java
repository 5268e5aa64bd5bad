// SPDX-License-Identifier: Apache-2.0
/// What is timed: one class for each study, with everything that sweeps and reports ask of it.
@NullMarked
package dev.crossover.bench.study;

import org.jspecify.annotations.NullMarked;
