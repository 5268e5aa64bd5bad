/// What is built around a mechanism: layers, models, losses, optimisers, training, tasks.
///
/// A mechanism maps queries, keys and values to an output; a layer maps `[batch, n, modelDim]` to
/// the same and holds a mechanism. Nothing here measures time or draws.
@NullMarked
package dev.crossover.models;

import org.jspecify.annotations.NullMarked;
