// SPDX-License-Identifier: Apache-2.0
/// Where the queries, keys and values of a sweep come from, and how hard they are to approximate.
///
/// A source is named by a label, `captured`, `gaussian:scale=1` or `file:path=…`, from which it can
/// be made again in another process: benchmark forks receive the label, and result records keep it.
@NullMarked
package dev.crossover.bench.input;

import org.jspecify.annotations.NullMarked;
