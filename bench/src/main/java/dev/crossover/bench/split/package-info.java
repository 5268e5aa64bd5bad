// SPDX-License-Identifier: Apache-2.0
/// How a mechanism's work would spread over more cores than this machine has.
@NullMarked
package dev.crossover.bench.split;

import org.jspecify.annotations.NullMarked;
