// SPDX-License-Identifier: Apache-2.0
/// The products and elementwise passes that mechanisms are built on, beside what the machine can
/// do.
@NullMarked
package dev.crossover.bench.products;

import org.jspecify.annotations.NullMarked;
