// SPDX-License-Identifier: Apache-2.0
/// Quality: what models trained with a mechanism can do, as records beside those of time.
///
/// Nothing here is timed for comparison: tokens per second of a training run are told, not judged.
@NullMarked
package dev.crossover.bench.quality;

import org.jspecify.annotations.NullMarked;
