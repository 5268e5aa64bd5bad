// SPDX-License-Identifier: Apache-2.0
/// Trained models: one of others with its weights, its tokenizer and its forward pass around any
/// mechanism; language models of this project by name.
@NullMarked
package dev.crossover.models.pretrained;

import org.jspecify.annotations.NullMarked;
