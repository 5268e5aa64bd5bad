// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.exact;

import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.Workers;
import dev.crossover.attention.exact.ScoreOptions.Gate;
import dev.crossover.attention.store.Storage;
import dev.crossover.attention.tensor.Tensor;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.Executor;
import org.jspecify.annotations.Nullable;

/// Exact attention for those who build models with it: heads, widths, score options, parameters,
/// stores and threads are said once; then whole sequences, packed ones, gradients and decoding.
///
/// ```java
/// ExactAttention attention =
///     ExactAttention.builder().heads(32).keyValueHeads(8).headDim(128).threads(4).build();
/// Tensor outputs = attention.attend(queries, keys, values);        // [batch, heads, n, 128]
///
/// Decoder decoder = attention.decoder(1, 4096);                    // sequences, positions reserved
/// decoder.append(promptQueries, promptKeys, promptValues);         // [1, heads, any number, 128]
/// Tensor next = decoder.append(query, key, value);                 // [1, heads, 1, 128]
/// ```
///
/// Tensors are `[batch, heads, n, width]`, or packed, `[all tokens, heads, width]`; other layouts
/// and native memory are copied in with [dev.crossover.attention.tensor.StridedView]. The mechanism
/// behind it is [Tiled]; what it computes is said at [ScoreOptions]. Immutable, usable by several
/// threads; plans and decoders belong to one caller at a time.
public final class ExactAttention {
  private final AttentionShape sizes;
  private final boolean causal;
  private final Tiled mechanism;
  private final double scale;
  private final Tensors parameters;
  private final Storage storage;
  private final int threads;
  private final @Nullable Executor executor;

  ExactAttention(ExactAttentionBuilder given) {
    int heads = given.heads;
    int keyHeads = given.keyValueHeads == 0 ? heads : given.keyValueHeads;
    int dim = given.headDim;
    int valueDim = given.valueDim == 0 ? dim : given.valueDim;
    sizes = new AttentionShape(1, heads, keyHeads, 0, 0, dim, dim, valueDim);
    causal = given.causal;
    mechanism = new Tiled(given.scale, given.options());
    scale = given.scale.orElse(1 / Math.sqrt(dim));
    parameters = given.parameters;
    storage = given.storage;
    threads = given.threads;
    executor = given.executor;
    shape(1, 0, 0);
    for (var spec : mechanism.inputs(sizes)) {
      boolean missing = spec.name().equals("alibi_slopes") || spec.name().equals("sink_logit");
      if (missing && !parameters.has(spec.name())) {
        throw new IllegalArgumentException(spec.name() + " must be given, but was absent");
      }
      if (parameters.has(spec.name())
          && !parameters.get(spec.name()).hasShape(spec.shape().toArray())) {
        throw new IllegalArgumentException(
            spec.name()
                + " must have shape "
                + spec.shape()
                + ", but was "
                + Arrays.toString(parameters.get(spec.name()).shape()));
      }
    }
    new SequenceCache(mechanism.options(), storage, sizes, 1);
  }

  /// Starts a description; heads and head width must be given, all else has its usual value.
  public static ExactAttentionBuilder builder() {
    return new ExactAttentionBuilder();
  }

  /// The mechanism with its score options.
  public Tiled mechanism() {
    return mechanism;
  }

  /// Query heads.
  public int heads() {
    return sizes.numHeads();
  }

  /// Key/value heads.
  public int keyValueHeads() {
    return sizes.numKeyValueHeads();
  }

  /// Width of queries and keys.
  public int headDim() {
    return sizes.headDim();
  }

  /// Width of values and outputs.
  public int valueDim() {
    return sizes.valueDim();
  }

  /// Whether an output gate is read beside queries, keys and values.
  public boolean gated() {
    return mechanism.outputGateActivation() != Gate.NONE;
  }

  /// The tensors that have a row per token and head, in the order of [Tensors#qkv].
  List<String> rowNames() {
    return gated() ? List.of("q", "k", "v", "output_gate") : List.of("q", "k", "v");
  }

  /// Whether a tensor of rows, or `out`, has those of queries rather than of keys.
  static boolean ofQueries(String name) {
    return !name.equals("k") && !name.equals("v");
  }

  /// Heads of a tensor of rows, or of `out`.
  int heads(String name) {
    return ofQueries(name) ? heads() : keyValueHeads();
  }

  /// Width of a tensor of rows, or of `out`.
  int width(String name) {
    return switch (name) {
      case "q", "k" -> headDim();
      case "output_gate" -> mechanism.gatePerHead() ? 1 : valueDim();
      default -> valueDim();
    };
  }

  /// The sizes of a problem.
  ///
  /// @param batch sequences, at least 1
  /// @param queries query positions of each, at least 0
  /// @param keys key positions of each, at least 0
  public AttentionShape shape(int batch, int queries, int keys) {
    return sizes.withBatchAndHeads(batch, sizes.numHeads()).withSeqLens(queries, keys);
  }

  /// Queries, keys, values and the parameters given to the builder, as plans take them. Where an
  /// output gate is on, it is added by `with("output_gate", …)`.
  ///
  /// @param queries `[batch, heads, nq, headDim]`
  /// @param keys `[batch, keyValueHeads, nk, headDim]`
  /// @param values `[batch, keyValueHeads, nk, valueDim]`
  public Tensors inputs(Tensor queries, Tensor keys, Tensor values) {
    return withParameters(Tensors.qkv(queries, keys, values));
  }

  /// Some tensors and, after them, the parameters given to the builder.
  Tensors withParameters(Tensors tensors) {
    Tensors all = tensors;
    for (int i = 0; i < parameters.size(); i++) {
      all = all.with(parameters.name(i), parameters.tensor(i));
    }
    return all;
  }

  /// Attention of whole sequences of one length.
  ///
  /// @param queries `[batch, heads, nq, headDim]`
  /// @param keys `[batch, keyValueHeads, nk, headDim]`
  /// @param values `[batch, keyValueHeads, nk, valueDim]`
  /// @return `[batch, heads, nq, valueDim]`, fresh
  public Tensor attend(Tensor queries, Tensor keys, Tensor values) {
    return attend(inputs(queries, keys, values));
  }

  /// Attention of whole sequences of one length, from named tensors: `q`, `k`, `v`, `output_gate`
  /// where there is one, `bias` where one is wanted.
  ///
  /// @param tensors named; lengths as in [#attend(Tensor, Tensor, Tensor)]
  /// @param lengths where given, the number of real keys of every batch entry; all otherwise
  /// @return `[batch, heads, nq, valueDim]`, fresh
  public Tensor attend(Tensors tensors, int... lengths) {
    AttentionShape given = mechanism.shapeOf(tensors);
    AttentionPlan plan = plan(given.batchSize(), given.querySeqLen(), given.keySeqLen(), lengths);
    Tensor out =
        Tensor.zeros(given.batchSize(), sizes.numHeads(), given.querySeqLen(), sizes.valueDim());
    plan.forward(withParameters(tensors), out);
    return out;
  }

  /// A plan for whole sequences: allocates everything once, nothing when it runs.
  ///
  /// @param batch sequences
  /// @param queries query positions of each
  /// @param keys key positions of each
  /// @param lengths where given, the number of real keys of every sequence; all otherwise
  /// @return a plan for one caller at a time
  public AttentionPlan plan(int batch, int queries, int keys, int... lengths) {
    return mechanism.newPlan(request(batch, queries, keys, lengths));
  }

  /// A plan with a backward pass; see [#plan].
  ///
  /// @param batch sequences
  /// @param queries query positions of each
  /// @param keys key positions of each
  /// @param lengths where given, the number of real keys of every sequence; all otherwise
  /// @return a plan for one caller at a time
  public DifferentiablePlan differentiable(int batch, int queries, int keys, int... lengths) {
    return mechanism.newDifferentiablePlan(request(batch, queries, keys, lengths));
  }

  private PlanRequest request(int batch, int queries, int keys, int... lengths) {
    Mask mask = causal ? Mask.causal() : Mask.none();
    if (lengths.length > 0) {
      Mask.KeyPadding padding = Mask.lengths(keys, lengths);
      mask = causal ? Mask.both(Mask.causal(), padding) : padding;
    }
    return request(shape(batch, queries, keys), mask);
  }

  private PlanRequest request(AttentionShape shape, Mask mask) {
    return PlanRequest.checked(mechanism, shape, mask, threads).on(executor);
  }

  /// A causal plan over the first positions of one sequence.
  AttentionPlan promptPlan(int positions) {
    return mechanism.newPlan(request(shape(1, positions, positions), Mask.causal()));
  }

  /// Attention of sequences of different lengths, one after the other in packed tensors: sequence s
  /// has the tokens `offsets[s] … offsets[s + 1] - 1` (`cu_seqlens`).
  ///
  /// @param offsets ascending, the first 0 and the last the number of all tokens
  /// @return a plan for one caller at a time
  public PackedAttention packed(int... offsets) {
    return new PackedAttention(this, offsets, offsets, false);
  }

  /// Attention of packed sequences with lengths of their own for queries and keys; in causal order
  /// the last query of a sequence sees its last key.
  ///
  /// @param queryOffsets of the sequences' queries, as for [#packed(int...)]
  /// @param keyOffsets of the sequences' keys, as many
  /// @return a plan for one caller at a time
  public PackedAttention packed(int[] queryOffsets, int[] keyOffsets) {
    return new PackedAttention(this, queryOffsets, keyOffsets, false);
  }

  /// As [#packed(int\[\], int\[\])], with a backward pass.
  ///
  /// @param queryOffsets of the sequences' queries, as for [#packed(int...)]
  /// @param keyOffsets of the sequences' keys, as many
  /// @return a plan for one caller at a time
  public PackedAttention packedDifferentiable(int[] queryOffsets, int[] keyOffsets) {
    return new PackedAttention(this, queryOffsets, keyOffsets, true);
  }

  /// Opens a decoder: causal attention, some tokens at a time.
  ///
  /// @param sequences how many, at least 1
  /// @param positions for which every sequence has room at once; a longer one doubles its room
  /// @return a decoder for one caller at a time, all sequences empty
  /// @throws IllegalArgumentException if the attention is not causal
  public Decoder decoder(int sequences, int positions) {
    if (!causal) {
      throw new IllegalArgumentException(
          "attention must be causal to decode, but causal was false");
    }
    if (positions < 1) {
      throw new IllegalArgumentException("positions must be >= 1, but was " + positions);
    }
    AttentionShape shape = shape(sequences, 0, 0);
    return new Decoder(
        this,
        new CachedSequences(mechanism.options(), scale, shape, storage, positions, workers()));
  }

  /// Sequences that start as copies.
  CachedSequences fork(CachedSequences of, int[] which) {
    return of.fork(scale, storage, workers(), which);
  }

  private Workers workers() {
    return new Workers(threads, executor);
  }
}
