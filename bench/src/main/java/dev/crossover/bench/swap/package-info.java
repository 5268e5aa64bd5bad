// SPDX-License-Identifier: Apache-2.0
/// What exchanging the attention of a trained model costs: the model's files, the settings put into
/// it, the agreement of its answers before and after.
@NullMarked
package dev.crossover.bench.swap;

import org.jspecify.annotations.NullMarked;
