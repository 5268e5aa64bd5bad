// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import static dev.crossover.attention.Axis.BATCH;
import static dev.crossover.attention.Axis.KEY;
import static dev.crossover.attention.Axis.MODEL_DIM;
import static dev.crossover.attention.Axis.QUERY;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionInputs;
import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Axis;
import dev.crossover.attention.Capabilities;
import dev.crossover.attention.Cost;
import dev.crossover.attention.DecodeSession;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.TensorSpec.Role;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/// Multi-head attention as a layer: input projections, any mechanism per head, output projection.
///
/// Vaswani et al., "Attention Is All You Need", NeurIPS 2017, arXiv:1706.03762, section 3.2.2:
/// `output = concat_h(attention(x Wqᵀ, y Wkᵀ, y Wvᵀ)) Woᵀ`, without biases. With D = H·d:
///
/// | paper  | here           | shape                                     |
/// |--------|----------------|-------------------------------------------|
/// | x      | `x`            | `[batch, nq, D]`                          |
/// | y      | `context`      | `[batch, nk, D]`; may be absent when nk = nq: x |
/// | Wq, Wk | `query_weight`, `key_weight` | `[H·d, D]`, `[Hkv·d, D]`    |
/// | Wv, Wo | `value_weight`, `output_weight` | `[Hkv·dv, D]`, `[D, H·dv]` |
/// | –      | output         | `[batch, nq, D]`                          |
///
/// A mechanism that shares queries and keys (`qk`, Reformer) gets one projection for both.
/// Per-token inputs beyond q, k, v (gates) pass through unchanged; a parameter NAME of the
/// mechanism may be given as `core.NAME` and is drawn from the mechanism's seed otherwise.
/// Mechanisms that merge their heads themselves are refused: they are layers already; [#around]
/// returns them as they are.
///
/// This is the layer that sweeps time, around any mechanism, without options. Models use
/// [Layers#attention], which has the published ones.
///
/// @param core the mechanism inside
public record MultiHeadLayer(Attention core) implements Attention {
  private static final int ROWS_PER_TASK = 192;
  static final String CORE = "core.";
  private static final List<String> PROJECTED = List.of("q", "k", "v", "qk");

  /// A layer around a mechanism, or the mechanism itself when it is a layer already.
  public static Attention around(Attention core) {
    return isLayer(core) ? core : new MultiHeadLayer(core);
  }

  /// Refuses a mechanism that is a layer already, and one that makes keys and values itself.
  public MultiHeadLayer {
    if (isLayer(core)) {
      throw new IllegalArgumentException(
          "core must take q, k, v or qk, but was " + core.name() + ", which is a layer already");
    }
    if (!takes(core, "v")) {
      throw new IllegalArgumentException(
          "core must take v, but was " + core.name() + ", which makes values itself");
    }
  }

  private static boolean takes(Attention core, String input) {
    return core.inputs(AttentionShape.of(1, 2, 16, 8)).stream()
        .anyMatch(spec -> spec.name().equals(input));
  }

  @Override
  public String name() {
    return "layer/" + core.name();
  }

  @Override
  public long seed() {
    return core.seed();
  }

  @Override
  public Capabilities capabilities() {
    return core.capabilities().gradients(false);
  }

  @Override
  public List<TensorSpec> inputs(AttentionShape s) {
    Axis queries = Axis.of("heads * head_dim", s.numHeads() * s.headDim());
    Axis keys = Axis.of("key_value_heads * key_dim", s.numKeyValueHeads() * s.keyDim());
    Axis values = Axis.of("key_value_heads * value_dim", s.numKeyValueHeads() * s.valueDim());
    Axis heads = Axis.of("heads * value_dim", s.numHeads() * s.valueDim());
    List<TensorSpec> specs = new ArrayList<>();
    specs.add(
        TensorSpec.input("x", "layer input, N(0,1)", Draws::gaussian, s, BATCH, QUERY, MODEL_DIM));
    if (capabilities().crossAttention()) {
      specs.add(
          new TensorSpec(
              "context",
              s.querySeqLen() == s.keySeqLen() ? Role.OPTIONAL : Role.INPUT,
              "what keys and values are made of; x when absent, N(0,1)",
              Draws::gaussian,
              s,
              BATCH,
              KEY,
              MODEL_DIM));
    }
    specs.add(weight("query_weight", s, queries, MODEL_DIM));
    if (!sharesQueriesAndKeys(s)) {
      specs.add(weight("key_weight", s, keys, MODEL_DIM));
    }
    specs.add(weight("value_weight", s, values, MODEL_DIM));
    specs.add(weight("output_weight", s, MODEL_DIM, heads));
    specs.addAll(perTokenInputs(s));
    for (TensorSpec spec : coreParameters(s)) {
      specs.add(spec.as(CORE + spec.name(), Role.OPTIONAL).constant());
    }
    return List.copyOf(specs);
  }

  @Override
  public List<Axis> outputAxes() {
    return List.of(BATCH, QUERY, MODEL_DIM);
  }

  /// The layer's input from plain queries, keys and values: the queries' heads side by side, so
  /// that the projections work on vectors of the given origin; with keys of another length, the
  /// keys' heads are the context.
  @Override
  public Tensors adapt(AttentionShape shape, Tensors qkv, long seed) {
    Tensors given = qkv;
    if (qkv.has("q") && !qkv.has("x")) {
      given = Tensors.NONE.with("x", headsSideBySide(qkv.get("q")));
      if (shape.querySeqLen() != shape.keySeqLen()) {
        given = given.with("context", headsSideBySide(qkv.get("k")));
      }
      for (int i = 0; i < qkv.size(); i++) {
        if (!PROJECTED.contains(qkv.name(i))) {
          given = given.with(qkv.name(i), qkv.tensor(i));
        }
      }
    }
    return AttentionInputs.complete(this, shape, given, seed);
  }

  /// The heads' rows beside each other, `[batch, n, heads · d]`.
  static Tensor headsSideBySide(Tensor perHead) {
    int heads = perHead.extent(1);
    int n = perHead.extent(2);
    int d = perHead.extent(3);
    Tensor rows = Tensor.zeros(perHead.extent(0), n, heads * d);
    for (int row = 0; row < perHead.extent(0) * heads * n; row++) {
      int to = ((row / n / heads * n + row % n) * heads + row / n % heads) * d;
      System.arraycopy(perHead.data(), row * d, rows.data(), to, d);
    }
    return rows;
  }

  @Override
  public Cost cost(AttentionShape s, Mask mask, int threads) {
    Cost inner = core.cost(s, mask, threads);
    double width = modelDim(s);
    double queries = (double) s.batchSize() * s.querySeqLen();
    double keys = (double) s.batchSize() * s.keySeqLen();
    double keyMaps = sharesQueriesAndKeys(s) ? 0 : s.numKeyValueHeads() * (double) s.keyDim();
    double flops =
        2
            * width
            * (queries * s.numHeads() * (s.headDim() + s.valueDim())
                + keys * (keyMaps + s.numKeyValueHeads() * (double) s.valueDim()));
    double floats = Cost.tensorBytes(s) / Float.BYTES;
    double tokenBytes = Float.BYTES * width * (2 * queries + keys);
    return new Cost(
        inner.flops() + flops,
        inner.bytesMoved() + Cost.tensorBytes(s) + tokenBytes,
        inner.scratchBytes() + scratchBytes(s, (long) floats, threads));
  }

  @Override
  public AttentionPlan newPlan(PlanRequest request) {
    return new Plan(request);
  }

  /// The session of the mechanism, between the projections of one token.
  @Override
  public DecodeSession decode(AttentionShape shape, int threads) {
    return new MultiHeadSession(this, shape, threads);
  }

  private long scratchBytes(AttentionShape s, long tensorFloats, int threads) {
    long shared =
        sharesQueriesAndKeys(s)
            ? (long) s.batchSize() * s.numKeyValueHeads() * s.keySeqLen() * s.keyDim()
            : 0;
    long extra = 0;
    for (TensorSpec spec : perTokenInputs(s)) {
      extra += Tensor.sizeOf(spec.shape().toArray());
    }
    return Float.BYTES * (tensorFloats - shared + extra + (long) threads * packFloats(s));
  }

  static int packFloats(AttentionShape s) {
    Kernels kernels = Kernels.get();
    int into = Math.max(s.headDim(), Math.max(s.keyDim(), s.valueDim()));
    return Math.max(
        kernels.transposedBScratch(into, modelDim(s)),
        kernels.transposedBScratch(modelDim(s), s.numHeads() * s.valueDim()));
  }

  private boolean sharesQueriesAndKeys(AttentionShape s) {
    return core.inputs(s).stream().anyMatch(spec -> spec.name().equals("qk"));
  }

  private List<TensorSpec> perTokenInputs(AttentionShape s) {
    return core.inputs(s).stream()
        .filter(spec -> spec.role() == Role.INPUT)
        .filter(spec -> !PROJECTED.contains(spec.name()))
        .toList();
  }

  List<TensorSpec> coreParameters(AttentionShape s) {
    return core.inputs(s).stream().filter(spec -> spec.role() == Role.PARAMETER).toList();
  }

  /// Whether a mechanism gives rows of model width: it merges its heads itself.
  private static boolean isLayer(Attention core) {
    return Axis.dimension(core.outputAxes(), MODEL_DIM) >= 0;
  }

  static int modelDim(AttentionShape s) {
    return s.numHeads() * s.headDim();
  }

  private static TensorSpec weight(String name, AttentionShape s, Axis out, Axis in) {
    return TensorSpec.parameter(
        name,
        "map [out, in], y = x wᵀ, N(0, 1/in)",
        (seed, shape) -> Draws.gaussian(seed, 1 / Math.sqrt(in.size(s)), shape),
        s,
        out,
        in);
  }

  private final class Plan extends AttentionPlan {
    private final Kernels kernels = Kernels.get();
    private final AttentionPlan inner;
    private final boolean shared = sharesQueriesAndKeys(shape);
    private final int width = modelDim(shape);
    private final Tensor query = tensor(shape.numHeads(), shape.querySeqLen(), shape.headDim());
    private final Tensor key;
    private final Tensor value =
        tensor(shape.numKeyValueHeads(), shape.keySeqLen(), shape.valueDim());
    private final Tensor heads = tensor(shape.numHeads(), shape.querySeqLen(), shape.valueDim());
    private final float[][] packs = new float[threads()][];
    private final List<TensorSpec> perToken = perTokenInputs(shape);
    private final Tensor[] copies = new Tensor[perToken.size()];
    private final Tensors made;
    private final CoreParameters parameters;
    private final Function<String, float @Nullable []> lookUp = this::given;
    private final Workers.Task project = this::project;
    private final Workers.Task merge = this::merge;
    private final int queryBlocks = Math.ceilDiv(shape.querySeqLen(), ROWS_PER_TASK);
    private final int keyBlocks = Math.ceilDiv(shape.keySeqLen(), ROWS_PER_TASK);

    Plan(PlanRequest request) {
      super(request);
      key = shared ? query : tensor(shape.numKeyValueHeads(), shape.keySeqLen(), shape.keyDim());
      Tensors named =
          shared ? Tensors.NONE.with("qk", query).with("v", value) : Tensors.qkv(query, key, value);
      for (int i = 0; i < copies.length; i++) {
        int[] sizes = perToken.get(i).shape().toArray();
        copies[i] = Tensor.of(scratch.floats(Tensor.sizeOf(sizes)), sizes);
        named = named.with(perToken.get(i).name(), copies[i]);
      }
      made = named;
      parameters = new CoreParameters(coreParameters(shape));
      for (int t = 0; t < packs.length; t++) {
        packs[t] = scratch.floats(packFloats(shape));
      }
      inner = part(core, shape, mask);
    }

    private float @Nullable [] given(String name) {
      return hasInput(name) ? input(name) : null;
    }

    private Tensor tensor(int numHeads, int seqLen, int dim) {
      long size = (long) shape.batchSize() * numHeads * seqLen * dim;
      return Tensor.of(scratch.floats(size), shape.batchSize(), numHeads, seqLen, dim);
    }

    @Override
    protected void compute(Tensor output) {
      for (int i = 0; i < copies.length; i++) {
        float[] given = input(perToken.get(i).name());
        System.arraycopy(given, 0, copies[i].data(), 0, given.length);
      }
      int keyMaps = shape.numKeyValueHeads() * keyBlocks * (shared ? 1 : 2);
      workers.run(shape.batchSize() * (shape.numHeads() * queryBlocks + keyMaps), project);
      inner.forward(parameters.with(made, lookUp), heads);
      workers.run(shape.batchSize() * queryBlocks, merge);
    }

    /// One block of rows of one head of q = x Wqᵀ, k = y Wkᵀ or v = y Wvᵀ.
    private void project(int worker, int index) {
      int queries = shape.batchSize() * shape.numHeads() * queryBlocks;
      int keys = shape.batchSize() * shape.numKeyValueHeads() * keyBlocks;
      if (index < queries) {
        rows(
            worker,
            index,
            queryBlocks,
            shape.numHeads(),
            shape.querySeqLen(),
            shape.headDim(),
            "x",
            "query_weight",
            query);
      } else if (!shared && index < queries + keys) {
        rows(
            worker,
            index - queries,
            keyBlocks,
            shape.numKeyValueHeads(),
            shape.keySeqLen(),
            shape.keyDim(),
            context(),
            "key_weight",
            key);
      } else {
        int first = shared ? queries : queries + keys;
        rows(
            worker,
            index - first,
            keyBlocks,
            shape.numKeyValueHeads(),
            shape.keySeqLen(),
            shape.valueDim(),
            context(),
            "value_weight",
            value);
      }
    }

    private String context() {
      return hasInput("context") ? "context" : "x";
    }

    private void rows(
        int worker,
        int index,
        int blocks,
        int numHeads,
        int seqLen,
        int dim,
        String source,
        String weight,
        Tensor target) {
      int problem = index / blocks;
      int first = index % blocks * ROWS_PER_TASK;
      int count = Math.min(ROWS_PER_TASK, seqLen - first);
      int batch = problem / numHeads;
      int head = problem % numHeads;
      kernels.multiplyTransposedB(
          count,
          dim,
          width,
          input(source),
          (batch * seqLen + first) * width,
          width,
          input(weight),
          head * dim * width,
          width,
          target.data(),
          (problem * seqLen + first) * dim,
          dim,
          false,
          packs[worker],
          0);
    }

    /// One block of rows of output = concat_h(heads) Woᵀ, head by head.
    private void merge(int worker, int index) {
      int batch = index / queryBlocks;
      int first = index % queryBlocks * ROWS_PER_TASK;
      int count = Math.min(ROWS_PER_TASK, shape.querySeqLen() - first);
      int dv = shape.valueDim();
      for (int h = 0; h < shape.numHeads(); h++) {
        kernels.multiplyTransposedB(
            count,
            width,
            dv,
            heads.data(),
            shape.outputOffset(batch, h) + first * dv,
            dv,
            input("output_weight"),
            h * dv,
            shape.numHeads() * dv,
            out,
            (batch * shape.querySeqLen() + first) * width,
            width,
            h > 0,
            packs[worker],
            0);
      }
    }
  }
}
