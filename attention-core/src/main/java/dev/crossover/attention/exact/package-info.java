// SPDX-License-Identifier: Apache-2.0
/// The two exact baselines: materialised softmax, as the papers time it, and tiled softmax, the
/// honest one.
@NullMarked
package dev.crossover.attention.exact;

import org.jspecify.annotations.NullMarked;
