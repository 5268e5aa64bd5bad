// SPDX-License-Identifier: Apache-2.0
/// A model made ready for one shape: values, the operations between them, their order, and the
/// arrays they share.
///
/// No general tape: a model is a chain of a dozen known operations with a mechanism as one of them.
/// Everything is decided when the graph is finished: which rows are worked on together, which
/// arrays are kept for the backward pass, which gradients are written and which added to.
@NullMarked
package dev.crossover.models.graph;

import org.jspecify.annotations.NullMarked;
