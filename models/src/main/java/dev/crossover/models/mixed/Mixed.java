// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.mixed;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Capabilities;
import dev.crossover.attention.Capabilities.Ability;
import dev.crossover.attention.Capabilities.Causality;
import dev.crossover.attention.Capabilities.Padding;
import dev.crossover.attention.Cost;
import dev.crossover.attention.DecodeSession;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.ExactTarget;
import dev.crossover.attention.GradientCost;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.Mechanism.Approximates;
import dev.crossover.variants.Catalogue;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/// Another mechanism per head: head h runs `heads[h mod heads.size()]`.
///
/// Heads of equal mechanisms run in one plan of that mechanism, which sees them as its own heads,
/// numbered from 0. Mechanisms must be exact or approximate softmax over the given queries and keys
/// and read nothing but `q`, `k`, `v`; their options are off. What one of them cannot do the mix
/// cannot, and grouped key/value heads are refused.
///
/// On the command line: `mixed:0=longformer:window=64,1=tiled,2-3=moba:block_size=64,top_k=5`, all
/// heads from 0 named once; further heads repeat them.
///
/// Memory: copies of q, k, v and the output beside what the plans need.
///
/// @param heads one for each head, at least one
public record Mixed(List<Attention> heads) implements Attention {
  /// Name on the command line.
  public static final String NAME = "mixed";

  private static final int TRIAL = 64;

  /// Checks that the mechanisms can share a plan.
  ///
  /// @throws IllegalArgumentException naming a mechanism that cannot
  public Mixed {
    heads = List.copyOf(heads);
    if (heads.isEmpty()) {
      throw new IllegalArgumentException(NAME + ": heads must name a mechanism, but were none");
    }
    Set<Causality> orders = EnumSet.noneOf(Causality.class);
    for (Attention head : heads) {
      requireMixable(head);
      orders.add(head.capabilities().causal());
    }
    if (orders.contains(Causality.NEVER) && orders.contains(Causality.ALWAYS)) {
      throw new IllegalArgumentException(
          NAME + ": heads must share an order, but some cannot be causal and others must be");
    }
  }

  private static void requireMixable(Attention head) {
    Mechanism mechanism = head.getClass().getAnnotation(Mechanism.class);
    if (mechanism == null
        || mechanism.approximates() == Approximates.NONE
        || !mechanism.target().isEmpty()) {
      throw new IllegalArgumentException(
          NAME
              + ": heads must be exact or approximate softmax over given queries and keys, but "
              + head.name()
              + " does not");
    }
    for (TensorSpec spec : head.inputs(AttentionShape.of(1, 1, TRIAL, TRIAL))) {
      boolean known = spec.name().matches("[qkv]");
      if (!known && spec.role() != TensorSpec.Role.OPTIONAL) {
        throw new IllegalArgumentException(
            NAME
                + ": heads must read q, k and v only, but "
                + head.name()
                + " reads "
                + spec.name());
      }
    }
  }

  /// Reads `0=tiled,1-3=longformer:window=64,dilation=2`: heads, then the mechanism with its
  /// parameters.
  ///
  /// @throws IllegalArgumentException if a head from 0 to the largest is not named exactly once
  public static Mixed parse(String text) {
    Map<Integer, Attention> byHead = new LinkedHashMap<>();
    String range = "";
    StringBuilder spec = new StringBuilder();
    for (String piece : text.split(",", -1)) {
      if (piece.matches("\\d{1,4}(-\\d{1,4})?=.*")) {
        assign(byHead, range, spec.toString());
        range = piece.substring(0, piece.indexOf('='));
        spec.setLength(0);
        spec.append(piece.substring(piece.indexOf('=') + 1));
      } else {
        spec.append(spec.isEmpty() ? "" : ",").append(piece);
      }
    }
    assign(byHead, range, spec.toString());
    List<Attention> heads = new ArrayList<>();
    for (int h = 0; h < byHead.size(); h++) {
      Attention head = byHead.get(h);
      if (head == null) {
        throw new IllegalArgumentException(
            NAME + ": heads must be numbered from 0 without a gap, but head " + h + " was absent");
      }
      heads.add(head);
    }
    return new Mixed(heads);
  }

  private static void assign(Map<Integer, Attention> byHead, String range, String spec) {
    if (range.isEmpty()) {
      if (!spec.isEmpty()) {
        throw new IllegalArgumentException(
            NAME + ": heads must read HEAD=mechanism, but was '" + spec + "'");
      }
      return;
    }
    String[] ends = range.split("-", -1);
    int from = Integer.parseInt(ends[0]);
    int to = Integer.parseInt(ends[ends.length - 1]);
    if (to < from) {
      throw new IllegalArgumentException(NAME + ": heads must grow, but were " + range);
    }
    Attention head = Catalogue.parse(spec);
    for (int h = from; h <= to; h++) {
      if (byHead.put(h, head) != null) {
        throw new IllegalArgumentException(
            NAME + ": heads must be named once, but " + h + " was twice");
      }
    }
  }

  /// The shortest text after `mixed:` that [#parse] turns into an equal mix.
  public String text() {
    List<String> parts = new ArrayList<>();
    int from = 0;
    while (from < heads.size()) {
      int to = from;
      while (to + 1 < heads.size() && heads.get(to + 1).equals(heads.get(from))) {
        to++;
      }
      parts.add(from + (to == from ? "" : "-" + to) + "=" + Catalogue.describe(heads.get(from)));
      from = to + 1;
    }
    return String.join(",", parts);
  }

  @Override
  public String name() {
    return NAME;
  }

  @Override
  public Capabilities capabilities() {
    Set<Ability> all =
        EnumSet.of(
            Ability.CROSS_ATTENTION,
            Ability.VALUE_DIM,
            Ability.KEY_DIM,
            Ability.DECODING,
            Ability.GRADIENTS,
            Ability.ZEROES_PADDED_QUERIES);
    Set<Ability> some = EnumSet.noneOf(Ability.class);
    Causality causal = Causality.OPTIONAL;
    Padding padding = Padding.ANY;
    boolean zeroes = heads.getFirst().capabilities().zeroesPaddedQueries();
    for (Attention head : heads) {
      Capabilities can = head.capabilities();
      all.retainAll(can.abilities());
      for (Ability ability : List.of(Ability.MIXES_BATCH, Ability.CHOOSES_AHEAD)) {
        if (can.can(ability)) {
          some.add(ability);
        }
      }
      causal = can.causal() == Causality.OPTIONAL ? causal : can.causal();
      // padded rows are zero or computed, for all heads alike
      padding =
          can.zeroesPaddedQueries() != zeroes
              ? Padding.NONE
              : can.keyPadding().compareTo(padding) < 0 ? can.keyPadding() : padding;
    }
    some.addAll(all);
    return new Capabilities(causal, padding, some);
  }

  /// The heads of a problem by mechanism, in the order of their first head.
  Map<Attention, List<Integer>> groups(int numHeads) {
    Map<Attention, List<Integer>> groups = new LinkedHashMap<>();
    for (int h = 0; h < numHeads; h++) {
      groups.computeIfAbsent(heads.get(h % heads.size()), _ -> new ArrayList<>()).add(h);
    }
    return groups;
  }

  /// The problem of some heads alone.
  static AttentionShape of(AttentionShape s, int numHeads) {
    return new AttentionShape(
        s.batchSize(),
        numHeads,
        numHeads,
        s.querySeqLen(),
        s.keySeqLen(),
        s.headDim(),
        s.keyDim(),
        s.valueDim());
  }

  /// Bytes of the copies of q, k, v and the output.
  private static long copies(AttentionShape shape) {
    return (long) Cost.tensorBytes(shape);
  }

  @Override
  public Cost cost(AttentionShape shape, Mask mask, int threads) {
    double flops = 0;
    double moved = 2 * Cost.tensorBytes(shape);
    long scratch = copies(shape);
    for (Map.Entry<Attention, List<Integer>> group : groups(shape.numHeads()).entrySet()) {
      Cost cost = group.getKey().cost(of(shape, group.getValue().size()), mask, threads);
      flops += cost.flops();
      moved += cost.bytesMoved();
      scratch += cost.scratchBytes();
    }
    return new Cost(flops, moved, scratch);
  }

  @Override
  public AttentionPlan newPlan(PlanRequest request) {
    return new MixedPlan(request, this);
  }

  @Override
  public DifferentiablePlan newDifferentiablePlan(PlanRequest request) {
    return new MixedDifferentiable(request, this);
  }

  @Override
  public GradientCost gradientCost(AttentionShape shape, Mask mask, int threads) {
    double flops = 0;
    long kept = 0;
    long scratch = 2 * copies(shape);
    for (Map.Entry<Attention, List<Integer>> group : groups(shape.numHeads()).entrySet()) {
      GradientCost cost =
          group.getKey().gradientCost(of(shape, group.getValue().size()), mask, threads);
      flops += cost.flops();
      kept += cost.keptBytes();
      scratch += cost.scratchBytes();
    }
    return new GradientCost(flops, kept, scratch);
  }

  @Override
  public ExactTarget exactTarget(AttentionShape shape, Mask mask, Tensors inputs) {
    ExactTarget target = Attention.super.exactTarget(shape, mask, inputs);
    for (Attention head : heads) {
      ExactTarget own = head.exactTarget(shape, mask, inputs);
      if (own.scale() != target.scale() || own.selfLast()) {
        throw new IllegalArgumentException(
            NAME
                + ": heads must approximate softmax with scale "
                + target.scale()
                + " to have an error, but "
                + head.name()
                + " has another target");
      }
    }
    return target;
  }

  @Override
  public DecodeSession decode(AttentionShape shape, int threads) {
    if (!capabilities().decoding()) {
      return Attention.super.decode(shape, threads);
    }
    return new MixedSession(this, shape, threads);
  }
}
