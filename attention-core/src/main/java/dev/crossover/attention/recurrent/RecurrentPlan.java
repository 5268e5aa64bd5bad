package dev.crossover.attention.recurrent;

import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.Workers;
import dev.crossover.attention.tensor.Tensor;

/// Runs a recurrence over whole sequences in chunks: matrix products inside chunks, the state S
/// `[d, dv]` between them.
///
/// Reads `q`, `k`, `v` and, if the mechanism lists it, `initial_state` `[batch, heads, d, dv]`;
/// writes `final_state` of the same shape where asked for. Parallel over heads and, where these are
/// few, over blocks of value columns. Scratch does not depend on the length.
public class RecurrentPlan extends AttentionPlan {
  /// Chunk length that is fast where nothing else is asked for.
  public static final int DEFAULT_CHUNK = 64;

  private static final String INITIAL = "initial_state";
  private static final String FINAL = "final_state";

  private final UpdateRule rule;
  private final ChunkLayout layout;
  private final RecurrentChunk[] chunks;
  private final Workers.Task task = this::task;
  private float[] q = new float[0];
  private float[] k = new float[0];
  private float[] v = new float[0];
  private float[] out = new float[0];

  /// @param request the checked request
  /// @param rule how the state decays and is written
  /// @param chunkLength rows of a chunk, at least 1; without effect on the result beyond rounding
  /// @throws IllegalArgumentException if the mask lets query i see other keys than 0 to i
  @SuppressWarnings("this-escape")
  public RecurrentPlan(PlanRequest request, UpdateRule rule, int chunkLength) {
    super(request);
    requireAligned(request);
    this.rule = rule;
    this.layout = ChunkLayout.of(shape, mask, rule, chunkLength);
    this.chunks = new RecurrentChunk[request.threads()];
    for (int w = 0; w < chunks.length; w++) {
      chunks[w] = new RecurrentChunk(layout, scratch);
    }
  }

  private static void requireAligned(PlanRequest request) {
    Mask mask = request.mask();
    int n = request.shape().querySeqLen();
    if (mask.isCausal() && mask.causalOffset(n, n) != 0) {
      throw new IllegalArgumentException(
          request.attention().name()
              + ": causal offset must be 0, but was "
              + mask.causalOffset(n, n));
    }
  }

  @Override
  protected void compute(Tensor output) {
    q = input("q");
    k = input("k");
    v = input("v");
    out = output.data();
    rule.bind(inputs());
    workers.run(shape.problems() * layout.tasksPerHead(), task);
  }

  /// Some column blocks of one head, over the whole sequence.
  private void task(int worker, int index) {
    int problem = index / layout.tasksPerHead();
    int firstBlock = index % layout.tasksPerHead() * layout.blocksPerTask();
    int endBlock = Math.min(layout.blocks(), firstBlock + layout.blocksPerTask());
    int batch = problem / shape.numHeads();
    int head = problem % shape.numHeads();
    int n = shape.querySeqLen();
    int dim = shape.headDim();
    int valueDim = shape.valueDim();
    RecurrentChunk chunk = chunks[worker];
    chunk.start(batch, head, n, 0, true);
    boolean seen = hasInput(INITIAL);
    for (int b = firstBlock; b < endBlock && seen; b++) {
      chunk.load(b, input(INITIAL), problem * dim * valueDim);
    }
    int sharing = shape.numHeads() / rule.queryKeyHeads(shape);
    int rows = problem / sharing * n;
    for (int t = 0; t < n; t += layout.chunk()) {
      int count = Math.min(layout.chunk(), n - t);
      int at = (rows + t) * dim;
      chunk.rows(t, count, q, at, k, at);
      int values = (problem * n + t) * valueDim;
      for (int b = firstBlock; b < endBlock; b++) {
        chunk.columns(b, seen, v, values, out, values);
      }
      seen = true;
    }
    for (int b = firstBlock; b < endBlock && wantsResult(FINAL); b++) {
      chunk.store(b, n, result(FINAL), problem * dim * valueDim);
    }
  }
}
