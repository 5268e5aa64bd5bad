// SPDX-License-Identifier: Apache-2.0
/// The frontier: of every mechanism the settings that are worth timing, found by their error.
@NullMarked
package dev.crossover.bench.tune;

import org.jspecify.annotations.NullMarked;
