// SPDX-License-Identifier: Apache-2.0
/// Options as `key=value` texts.
@NullMarked
package dev.crossover.models.option;

import org.jspecify.annotations.NullMarked;
