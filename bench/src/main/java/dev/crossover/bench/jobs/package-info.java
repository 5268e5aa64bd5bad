// SPDX-License-Identifier: Apache-2.0
/// Studies that time nothing, cut into points that may be computed anywhere, and the file in which
/// one process keeps their records.
@NullMarked
package dev.crossover.bench.jobs;

import org.jspecify.annotations.NullMarked;
