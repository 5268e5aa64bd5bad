// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.exact;

import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/// Exact attention of packed sequences of different lengths: `q` `[all queries, heads, headDim]`,
/// `k` and `v` `[all keys, keyValueHeads, width]`, sequence s at the rows `offsets[s] …
/// offsets[s + 1] - 1` (`cu_seqlens` of FlashAttention).
///
/// Every sequence is what a plan of its own gives, bit for bit; nothing passes from one to another.
/// Everything is allocated when it is made; sequences of the same lengths share a plan where there
/// is no backward pass.
public final class PackedAttention {
  private final ExactAttention attention;
  private final TokenRows queries;
  private final TokenRows keys;
  private final List<Part> parts = new ArrayList<>();
  private final boolean differentiable;
  private boolean ran;

  /// One sequence: its plan and what the plan reads and writes.
  private record Part(int sequence, AttentionPlan plan, Tensors own, Tensor out, Tensor gradOut) {}

  PackedAttention(
      ExactAttention attention, int[] queryOffsets, int[] keyOffsets, boolean differentiable) {
    this.attention = attention;
    this.differentiable = differentiable;
    queries = rows("queryOffsets", queryOffsets);
    keys = rows("keyOffsets", keyOffsets);
    if (queryOffsets.length != keyOffsets.length) {
      throw new IllegalArgumentException(
          "keyOffsets must be as many as queryOffsets ("
              + queryOffsets.length
              + "), but were "
              + keyOffsets.length);
    }
    Map<List<Integer>, Part> shared = new HashMap<>();
    for (int s = 0; s + 1 < queryOffsets.length; s++) {
      int nq = queries.count(s);
      int nk = keys.count(s);
      if (nq > 0) {
        Part same = shared.get(List.of(nq, nk));
        Part part =
            same == null
                ? part(s, nq, nk)
                : new Part(s, same.plan, same.own, same.out, same.gradOut);
        parts.add(part);
        if (!differentiable) {
          shared.put(List.of(nq, nk), part);
        }
      }
    }
  }

  private Part part(int s, int nq, int nk) {
    AttentionPlan plan =
        differentiable ? attention.differentiable(1, nq, nk) : attention.plan(1, nq, nk);
    Tensors own = Tensors.NONE;
    for (String name : attention.rowNames()) {
      int n = rows(name).count(s);
      own = own.with(name, Tensor.zeros(1, attention.heads(name), n, attention.width(name)));
    }
    int[] out = {1, attention.heads(), nq, attention.valueDim()};
    return new Part(
        s, plan, own, Tensor.zeros(out), Tensor.zeros(differentiable ? out : new int[4]));
  }

  private static TokenRows rows(String name, int[] offsets) {
    boolean ascending = offsets.length >= 1 && offsets[0] == 0;
    int[] counts = new int[Math.max(0, offsets.length - 1)];
    for (int s = 0; s < counts.length; s++) {
      counts[s] = offsets[s + 1] - offsets[s];
      ascending &= offsets[s + 1] >= offsets[s];
    }
    if (!ascending) {
      throw new IllegalArgumentException(
          name + " must begin with 0 and not descend, but was " + Arrays.toString(offsets));
    }
    TokenRows rows = new TokenRows(counts.length);
    rows.packed(counts);
    return rows;
  }

  /// Where a tensor's rows lie.
  private TokenRows rows(String name) {
    return ExactAttention.ofQueries(name) ? queries : keys;
  }

  /// Attention of all sequences.
  ///
  /// @return `[all queries, heads, valueDim]`, fresh
  public Tensor attend(Tensor queries, Tensor keys, Tensor values) {
    Tensor out = Tensor.zeros(packedShape("out"));
    forward(Tensors.qkv(queries, keys, values), out);
    return out;
  }

  /// Attention of all sequences.
  ///
  /// @param tensors packed `q`, `k`, `v`, and `output_gate` where there is one
  /// @param out `[all queries, heads, valueDim]`; every element is written
  public void forward(Tensors tensors, Tensor out) {
    requireAll(tensors);
    requireShape("out", out, packedShape("out"));
    for (Part part : parts) {
      for (int i = 0; i < part.own.size(); i++) {
        String name = part.own.name(i);
        move(part, name, tensors.get(name).data(), part.own.tensor(i).data(), true);
      }
      part.plan.forward(attention.withParameters(part.own), part.out);
      move(part, "out", out.data(), part.out.data(), false);
    }
    ran = true;
  }

  /// The gradients at the last [#forward].
  ///
  /// @param gradOut gradient with respect to the output, shaped like it
  /// @param gradients `grad_q`, `grad_k`, `grad_v`, `grad_output_gate` packed, and `grad_NAME` of
  ///     parameters, summed over the sequences; any subset; every element is written
  /// @throws IllegalStateException before the first [#forward]
  /// @throws UnsupportedOperationException if it was made without a backward pass
  public void backward(Tensor gradOut, Tensors gradients) {
    if (!differentiable) {
      throw new UnsupportedOperationException(
          "gradients must be asked of packedDifferentiable, but were of packed");
    }
    if (!ran) {
      throw new IllegalStateException("backward must follow forward, but nothing was computed yet");
    }
    requireShape("grad_out", gradOut, packedShape("out"));
    Tensors whole = Tensors.NONE;
    for (int i = 0; i < gradients.size(); i++) {
      String name = gradients.name(i).replaceFirst("^grad_", "");
      Arrays.fill(gradients.tensor(i).data(), 0);
      if (attention.rowNames().contains(name)) {
        requireShape(gradients.name(i), gradients.tensor(i), packedShape(name));
      } else {
        whole = whole.with(gradients.name(i), gradients.tensor(i));
      }
    }
    for (Part part : parts) {
      backward(part, gradOut, gradients, whole);
    }
  }

  private void backward(Part part, Tensor gradOut, Tensors gradients, Tensors whole) {
    move(part, "out", gradOut.data(), part.gradOut.data(), true);
    Tensors places = whole;
    for (int i = 0; i < part.own.size(); i++) {
      String name = "grad_" + part.own.name(i);
      if (gradients.has(name)) {
        places = places.with(name, Tensor.zeros(part.own.tensor(i).shape()));
      }
    }
    ((DifferentiablePlan) part.plan).accumulate(part.gradOut, Tensors.NONE, places);
    for (int i = 0; i < part.own.size(); i++) {
      String name = part.own.name(i);
      if (gradients.has("grad_" + name)) {
        float[] own = places.get("grad_" + name).data();
        move(part, name, gradients.get("grad_" + name).data(), own, false);
      }
    }
  }

  /// Copies a sequence's rows between a packed tensor and `[heads, n, width]`.
  private void move(Part part, String name, float[] packed, float[] own, boolean in) {
    int heads = attention.heads(name);
    rows(name).move(part.sequence, packed, own, heads, attention.width(name), in);
  }

  private int[] packedShape(String name) {
    return new int[] {rows(name).total(), attention.heads(name), attention.width(name)};
  }

  private void requireAll(Tensors tensors) {
    if (tensors.size() != attention.rowNames().size()) {
      throw new IllegalArgumentException(
          "tensors must be " + attention.rowNames() + ", but were " + tensors.names());
    }
    for (String name : attention.rowNames()) {
      requireShape(name, tensors.get(name), packedShape(name));
    }
  }

  private static void requireShape(String name, Tensor tensor, int[] shape) {
    if (!tensor.hasShape(shape)) {
      throw new IllegalArgumentException(
          name + " must have shape " + Arrays.toString(shape) + ", but was " + tensor);
    }
  }
}
