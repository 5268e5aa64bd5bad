// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.store;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Axis;
import dev.crossover.attention.Capabilities;
import dev.crossover.attention.Cost;
import dev.crossover.attention.DecodeSession;
import dev.crossover.attention.ExactTarget;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.Tensors;
import java.util.List;

/// A mechanism whose sessions cache keys and values with [CacheOptions]. It is for decoding; a plan
/// over whole sequences, which no cache changes, is refused, so that nobody takes it for an effect
/// of the options.
///
/// @param core the mechanism
/// @param cache store and policy of its sessions
public record Cached(CachingAttention core, CacheOptions cache) implements Attention {
  /// A mechanism with options, refused by name where it caches no keys.
  public static Attention of(Attention core, CacheOptions cache) {
    if (!(core instanceof CachingAttention caching)) {
      throw new IllegalArgumentException(
          core.name()
              + ": store and cache must not be given, because its sessions have no choice of them,"
              + " but were "
              + cache.toMap());
    }
    return new Cached(caching, cache);
  }

  @Override
  public DecodeSession decode(AttentionShape shape, int threads) {
    return core.decode(shape, threads, cache);
  }

  @Override
  public String name() {
    return core.name();
  }

  @Override
  public Capabilities capabilities() {
    return core.capabilities().gradients(false);
  }

  @Override
  public Cost cost(AttentionShape shape, Mask mask, int threads) {
    return core.cost(shape, mask, threads);
  }

  @Override
  public AttentionPlan newPlan(PlanRequest request) {
    throw new IllegalArgumentException(
        name()
            + ": store and cache must be asked of decoding, but were of whole sequences: "
            + cache.toMap());
  }

  @Override
  public List<TensorSpec> inputs(AttentionShape shape) {
    return core.inputs(shape);
  }

  @Override
  public List<TensorSpec> results(AttentionShape shape) {
    return core.results(shape);
  }

  @Override
  public List<Axis> outputAxes() {
    return core.outputAxes();
  }

  @Override
  public AttentionShape shapeOf(Tensors inputs) {
    return core.shapeOf(inputs);
  }

  @Override
  public Tensors adapt(AttentionShape shape, Tensors qkv, long seed) {
    return core.adapt(shape, qkv, seed);
  }

  @Override
  public ExactTarget exactTarget(AttentionShape shape, Mask mask, Tensors inputs) {
    return core.exactTarget(shape, mask, inputs);
  }

  @Override
  public long seed() {
    return core.seed();
  }
}
