// SPDX-License-Identifier: Apache-2.0
/// Measured points as JSON lines: the records, the file they are appended to, and the statistics of
/// their samples.
///
/// Nothing here measures, and nothing here draws: sweeps write these records, reports read them.
@NullMarked
package dev.crossover.bench.result;

import org.jspecify.annotations.NullMarked;
