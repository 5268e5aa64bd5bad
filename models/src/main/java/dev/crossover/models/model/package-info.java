// SPDX-License-Identifier: Apache-2.0
/// Whole models: decoder-only language model, classifier, encoder–decoder; their starting values.
@NullMarked
package dev.crossover.models.model;

import org.jspecify.annotations.NullMarked;
