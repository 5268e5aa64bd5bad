// SPDX-License-Identifier: Apache-2.0
/// JMH benchmarks and the processes they run in.
///
/// Each fork measures one point and leaves a small JSON file about itself (memory, error) beside
/// JMH's samples. Benchmarks can be run with plain JMH too; then no such file is written.
@NullMarked
package dev.crossover.bench.jmh;

import org.jspecify.annotations.NullMarked;
