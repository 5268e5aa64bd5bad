// SPDX-License-Identifier: Apache-2.0
/// Models trained by others: their weights, their tokenizer, their forward pass around any
/// mechanism.
@NullMarked
package dev.crossover.models.pretrained;

import org.jspecify.annotations.NullMarked;
