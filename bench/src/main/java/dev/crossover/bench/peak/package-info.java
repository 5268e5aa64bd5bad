// SPDX-License-Identifier: Apache-2.0
/// What the machine can do, measured beside what is compared with it.
@NullMarked
package dev.crossover.bench.peak;

import org.jspecify.annotations.NullMarked;
