// SPDX-License-Identifier: Apache-2.0
/// Mechanisms that replace softmax by a product of feature maps, so that attention is linear in the
/// sequence length.
@NullMarked
package dev.crossover.variants.feature;

import org.jspecify.annotations.NullMarked;
