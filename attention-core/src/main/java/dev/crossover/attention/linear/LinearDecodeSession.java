package dev.crossover.attention.linear;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.DecodeSession;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.Workers;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// Linear attention as a recurrent network: the state of a head is S `[M, dv]` and z `[M]`,
/// whatever the number of tokens. A step is a causal chunk of one row.
///
/// Katharopoulos et al., arXiv:2006.16236, equations (16) to (20).
public final class LinearDecodeSession implements DecodeSession {
  private final Attention attention;
  private final AttentionShape shape;
  private final FeatureMap map;
  private final Workers workers;
  private final Scratch scratch = new Scratch();
  private final LinearState[] states;
  private final LinearChunk[] chunks;
  private final List<TensorSpec> stepSpecs;
  private final int[][] stepShapes;
  private final int[] outputShape;
  private final Workers.Task head = this::head;
  private final @Nullable Tensor[] bound;
  private final @Nullable Tensor[] drawn;
  private final FeatureInputs inputs =
      new FeatureInputs() {
        @Override
        public boolean has(String name) {
          return tensor(name) != null;
        }

        @Override
        public float[] get(String name) {
          Tensor tensor = tensor(name);
          if (tensor == null) {
            throw new IllegalStateException(name + " is not bound");
          }
          return tensor.data();
        }
      };
  private AttentionShape given;
  private float[] q = new float[0];
  private float[] k = new float[0];
  private float[] v = new float[0];
  private float[] out = new float[0];
  private boolean producing;
  private int position;

  /// @param attention the mechanism, for its inputs and seed
  /// @param shape widths and heads; `keySeqLen` is the largest number of positions
  /// @param threads number of threads, at least 1
  /// @param form feature maps and denominator
  public LinearDecodeSession(
      Attention attention, AttentionShape shape, int threads, LinearForm form) {
    this.attention = attention;
    this.shape = shape;
    this.workers = new Workers(threads);
    FeatureSite site = new FeatureSite(shape, Mask.causal(), threads, true, scratch);
    this.map = form.features().create(site);
    this.states = new LinearState[shape.batchSize() * shape.numKeyValueHeads()];
    for (int s = 0; s < states.length; s++) {
      states[s] = new LinearState(scratch, map, shape.valueDim(), shape.keySeqLen());
    }
    FeatureSite unmasked = new FeatureSite(shape, Mask.none(), threads, true, scratch);
    this.chunks = new LinearChunk[threads];
    for (int t = 0; t < threads; t++) {
      chunks[t] = new LinearChunk(unmasked, form, map, t);
    }
    this.given = shape.withSeqLens(1, 1);
    this.stepSpecs = attention.inputs(given);
    this.outputShape = attention.outputShape(given);
    this.stepShapes = shapesOf(stepSpecs);
    this.bound = new Tensor[stepSpecs.size()];
    this.drawn = new Tensor[stepSpecs.size()];
    for (int i = 0; i < drawn.length; i++) {
      TensorSpec spec = stepSpecs.get(i);
      if (spec.role() == TensorSpec.Role.PARAMETER) {
        drawn[i] = spec.drawn(Draws.seedFor(attention.seed(), spec.name()));
      }
    }
    reset();
  }

  @Override
  public void step(Tensors tensors, Tensor output) {
    requireShape("output", output, outputShape);
    bind(tensors, stepSpecs, stepShapes, 1);
    given = given.querySeqLen() == 1 ? given : shape.withSeqLens(1, 1);
    out = output.data();
    producing = true;
    run();
  }

  @Override
  public void prefill(Tensors tensors) {
    int count = tensors.get("k").extent(2);
    AttentionShape prefix = shape.withSeqLens(count, count);
    List<TensorSpec> specs = attention.inputs(prefix);
    bind(tensors, specs, shapesOf(specs), count);
    given = prefix;
    producing = false;
    run();
  }

  private void run() {
    q = inputs.get("q");
    k = inputs.get("k");
    v = inputs.get("v");
    map.begin(inputs);
    if (position == 0 && inputs.has("initial_state")) {
      loadInitialState();
    }
    workers.run(states.length, head);
    position += given.keySeqLen();
  }

  private void loadInitialState() {
    for (int s = 0; s < states.length; s++) {
      states[s].load(
          inputs.get("initial_state"), s * map.width() * shape.valueDim(),
          inputs.get("initial_normaliser"), s * map.width());
    }
  }

  /// One key/value head with the query heads that share it: attend, then absorb.
  private void head(int worker, int keyHead) {
    LinearState state = states[keyHead];
    LinearChunk chunk = chunks[worker];
    int batch = keyHead / shape.numKeyValueHeads();
    int kv = keyHead % shape.numKeyValueHeads();
    int length = given.keySeqLen();
    for (int t = 0; t < length; t += Segments.CHUNK) {
      int row = keyHead * length + t;
      int count = Math.min(Segments.CHUNK, length - t);
      chunk.keys(
          state,
          batch,
          kv,
          t,
          position + t,
          count,
          k,
          row * shape.headDim(),
          v,
          row * shape.valueDim());
      for (int h = kv * shape.groupSize(); producing && h < (kv + 1) * shape.groupSize(); h++) {
        chunk.attend(
            state,
            batch,
            h,
            0,
            position,
            1,
            0,
            q,
            given.queryOffset(batch, h),
            out,
            given.outputOffset(batch, h));
      }
      chunk.absorb(state);
    }
  }

  @Override
  public int position() {
    return position;
  }

  @Override
  public long stateBytes() {
    return states.length * states[0].bytes();
  }

  @Override
  public void reset() {
    for (LinearState state : states) {
      state.clear();
    }
    position = 0;
  }

  private void bind(Tensors tensors, List<TensorSpec> specs, int[][] shapes, int count) {
    if (position + (long) count > shape.keySeqLen()) {
      throw new IllegalStateException(
          attention.name()
              + ": position must be below keySeqLen ("
              + shape.keySeqLen()
              + "), but was "
              + (position + (long) count - 1));
    }
    int known = 0;
    for (int i = 0; i < bound.length; i++) {
      TensorSpec spec = specs.get(i);
      bound[i] = drawn[i];
      if (tensors.has(spec.name())) {
        bound[i] = tensors.get(spec.name());
        requireShape(spec.name(), tensors.get(spec.name()), shapes[i]);
        known++;
      } else if (spec.role() == TensorSpec.Role.INPUT) {
        throw new IllegalArgumentException(
            attention.name()
                + ": inputs must contain "
                + spec.name()
                + ", but were "
                + tensors.names());
      }
    }
    if (known != tensors.size()) {
      throw new IllegalArgumentException(
          attention.name()
              + ": inputs must be among "
              + specs.stream().map(TensorSpec::name).toList()
              + ", but were "
              + tensors.names());
    }
  }

  private @Nullable Tensor tensor(String name) {
    for (int i = 0; i < bound.length; i++) {
      if (stepSpecs.get(i).name().equals(name)) {
        return bound[i];
      }
    }
    return null;
  }

  private static int[][] shapesOf(List<TensorSpec> specs) {
    return specs.stream().map(spec -> spec.shape().toArray()).toArray(int[][]::new);
  }

  private void requireShape(String name, Tensor tensor, int[] sizes) {
    if (!tensor.hasShape(sizes)) {
      throw new IllegalArgumentException(
          attention.name()
              + ": "
              + name
              + " must have shape "
              + Arrays.toString(sizes)
              + ", but was "
              + Arrays.toString(tensor.shape()));
    }
  }
}
