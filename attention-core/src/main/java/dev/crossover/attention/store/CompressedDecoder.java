// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.store;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.Kernels;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/// Causal attention with a cache that keeps only some positions; softmax attention unless
/// [CacheWeights] say otherwise.
///
/// ```
/// prefill   exact causal softmax over the whole prompt; nothing is dropped meanwhile
/// compress  once, after the prompt, to the policy's budget
/// step      append the token's key and value; attend over everything cached, its own key included;
///           after every so many steps compress again
/// ```
///
/// The order of positions is kept. When the budget covers the sequence the result is that of exact
/// attention. One instance is used by one caller at a time.
public final class CompressedDecoder {
  private static final int TILE = RowTile.ROWS;

  /// Query rows whose scores are held at a time.
  private static final int ROWS = 32;

  private final CachePolicy policy;
  private final int interval;
  private final AttentionShape shape;
  private final int dim;
  private final int valueDim;
  private final float scale;
  private final Kernels kernels = Kernels.get();
  private final Workers workers;
  private final int heads;
  private final int group;
  private final KeyValueStore store;
  private final CachePolicy.@Nullable Paging paging;
  private final @Nullable Pages pages;

  /// `[heads, capacity]`: original positions of the cached rows.
  private final int[][] positions;

  /// `[heads, capacity]`: weights added up.
  private final double[][] weights;

  /// `[heads, capacity]`, scratch of selections.
  private final double[][] marks;

  private final double[][] sorted;
  private final int[] kept;

  /// 0, 1, 2, …: the positions of a prompt, and the places that are read where none is passed over.
  private final int[] counting;

  private final View view;
  private final float[][] scores;
  private final RowTile[] tiles;

  /// Places and positions that the last query of a query head read.
  private final int[][] places;

  private final int[][] attended;
  private final int[] attendedCount;
  private final Workers.Task token = this::token;
  private final Workers.Task promptHead = this::promptHead;
  private CacheWeights weighing = CacheWeights.SOFTMAX;
  private float[] q = new float[0];
  private float[] k = q;
  private float[] v = q;
  private float[] out = q;
  private float[] unrotated = q;
  private boolean answering;
  private int prompt;
  private int firstCounted;
  private int next;
  private int steps;

  /// @param policy what stays
  /// @param decodeInterval compress again after every so many steps; 0 means only after the prompt
  /// @param storage form of the cached rows
  /// @param shape batch entries, heads and widths; `keySeqLen` is the largest number of positions
  /// @param threads number of threads, at least 1
  public CompressedDecoder(
      CachePolicy policy, int decodeInterval, Storage storage, AttentionShape shape, int threads) {
    this(
        new CacheOptions(storage, policy, decodeInterval),
        shape,
        1 / Math.sqrt(shape.headDim()),
        false,
        threads);
  }

  /// @param cache form of the cached rows, and what stays; everything without a policy
  /// @param shape batch entries, heads and widths; `keySeqLen` is the largest number of positions
  /// @param scale factor on the dot products
  /// @param latent whether a value is the first `valueDim` numbers of its key and not stored again
  /// @param threads number of threads, at least 1
  public CompressedDecoder(
      CacheOptions cache, AttentionShape shape, double scale, boolean latent, int threads) {
    CachePolicy given = cache.policy();
    policy = given == null ? new KeepAll() : given;
    interval = cache.decodeInterval();
    this.shape = shape;
    dim = shape.headDim();
    valueDim = shape.valueDim();
    this.scale = (float) scale;
    workers = new Workers(threads);
    heads = shape.batchSize() * shape.numKeyValueHeads();
    group = shape.groupSize();
    store = new KeyValueStore(cache.storage(), shape, latent);
    int capacity = shape.keySeqLen();
    paging = policy.paging();
    pages = paging == null ? null : new Pages(heads, capacity, paging.pageSize(), dim);
    positions = new int[heads][capacity];
    weights = new double[heads][capacity];
    marks = new double[heads][capacity];
    sorted = new double[heads][capacity];
    view = new View();
    kept = new int[heads * capacity];
    counting = new int[capacity];
    Arrays.setAll(counting, j -> j);
    scores = new float[threads][ROWS * capacity];
    tiles = new RowTile[threads];
    for (int t = 0; t < threads; t++) {
      tiles[t] = new RowTile(new Scratch(), store.widest());
    }
    places = new int[heads * group][pages == null ? 0 : capacity];
    if (pages == null) {
      Arrays.fill(places, counting);
    }
    attended = new int[heads * group][capacity];
    attendedCount = new int[heads * group];
  }

  /// Takes what turns scores into weights from the next call on.
  public void weighBy(CacheWeights newWeights) {
    weighing = newWeights;
  }

  /// Takes a whole prompt and writes its outputs, exact causal softmax on the given numbers; stores
  /// it; then compresses.
  ///
  /// @param queries `[batch, heads, tokens, dim]`
  /// @param key `[batch, kvHeads, tokens, dim]`
  /// @param value `[batch, kvHeads, tokens, valueDim]`
  /// @param plainQueries the queries before any rotation, for policies that look at them
  /// @param tokens positions of the prompt
  /// @param output `[batch, heads, tokens, valueDim]`; where it is null, only what the policy looks
  ///     at is computed
  /// @throws IllegalStateException if positions were taken before
  public void prefill(
      float[] queries,
      float[] key,
      float[] value,
      float[] plainQueries,
      int tokens,
      float @Nullable [] output) {
    if (next != 0) {
      throw new IllegalStateException(
          "prompt must come first, but " + next + " tokens were taken before");
    }
    prompt = tokens;
    q = queries;
    k = key;
    v = value;
    answering = output != null;
    out = output == null ? new float[0] : output;
    unrotated = plainQueries;
    for (int t = 0; t < tokens; t++) {
      take(t, tokens);
    }
    firstCounted =
        switch (policy.weights()) {
          case NONE -> tokens;
          case NEWEST -> tokens - 1;
          case WINDOW -> Math.max(0, tokens - policy.window());
          case ALL -> 0;
        };
    workers.run(heads, promptHead);
    compress();
  }

  /// Forgets all positions.
  public void reset() {
    store.truncate(0);
    prompt = 0;
    next = 0;
    steps = 0;
  }

  /// Takes one token and writes its output.
  ///
  /// @param queries `[batch, heads, 1, dim]`
  /// @param key `[batch, kvHeads, 1, dim]`
  /// @param value `[batch, kvHeads, 1, valueDim]`
  /// @param output `[batch, heads, 1, valueDim]`
  /// @throws IllegalStateException if the decoder is full
  public void step(float[] queries, float[] key, float[] value, float[] output) {
    q = queries;
    k = key;
    v = value;
    out = output;
    take(0, 1);
    workers.run(heads, token);
    steps++;
    if (interval > 0 && steps % interval == 0) {
      compress();
    }
  }

  private void take(int t, int tokens) {
    if (next == shape.keySeqLen()) {
      throw new IllegalStateException(
          "positions must be at most keySeqLen (" + next + "), but were " + (next + 1));
    }
    store.append(k, v, t, 1, tokens);
    int place = store.positions() - 1;
    for (int h = 0; h < heads; h++) {
      positions[h][place] = next;
      weights[h][place] = 0;
      if (pages != null) {
        pages.add(h, place, k, (h * tokens + t) * dim);
      }
    }
    next++;
  }

  /// The prompt's rows of one key/value head's group, some at a time.
  private void promptHead(int worker, int h) {
    for (int m = 0; m < group; m++) {
      int begin = answering ? 0 : firstCounted / ROWS * ROWS;
      for (int first = begin; first < prompt; first += ROWS) {
        promptRows(worker, h, h * group + m, first, Math.min(ROWS, prompt - first));
      }
    }
  }

  private void promptRows(int worker, int h, int problem, int first, int rows) {
    float[] p = scores[worker];
    int ld = shape.keySeqLen();
    int keys = first + rows;
    for (int j = 0; j < keys; j += TILE) {
      int count = Math.min(TILE, keys - j);
      int key = (h * prompt + j) * dim;
      scorePrompt(worker, problem, rows, (problem * prompt + first) * dim, count, key, j);
    }
    for (int r = 0; r < rows; r++) {
      int seen = first + r + 1;
      weighing.weigh(worker, problem, first + r, seen, counting, p, r * ld);
      for (int j = 0; first + r >= firstCounted && j < seen; j++) {
        weights[h][j] += p[r * ld + j] / (double) group;
      }
    }
    if (!answering) {
      return;
    }
    int target = (problem * prompt + first) * valueDim;
    int values = h * prompt * valueDim;
    kernels.multiplyLower(
        rows, valueDim, keys, first, p, 0, ld, v, values, valueDim, out, target, valueDim, false);
  }

  /// Writes the scores of some of a prompt's query rows of one head and some keys from column `at`
  /// on.
  private void scorePrompt(int worker, int problem, int rows, int qo, int count, int ko, int at) {
    float[] p = scores[worker];
    int ld = shape.keySeqLen();
    if (!weighing.dotProducts()) {
      for (int r = 0; r < rows; r++) {
        weighing.score(worker, problem, q, qo + r * dim, count, k, ko, p, r * ld + at);
      }
      return;
    }
    kernels.multiplyTransposedB(
        rows, count, dim, q, qo, dim, k, ko, dim, p, at, ld, false, tiles[worker].work, 0);
    for (int r = 0; r < rows; r++) {
      kernels.scale(count, scale, p, r * ld + at, p, r * ld + at);
    }
  }

  /// One token's queries of one key/value head's group over what they read, as many together as
  /// read the same.
  private void token(int worker, int h) {
    int cached = store.positions();
    if (policy.weights() == CachePolicy.Weights.NEWEST) {
      Arrays.fill(weights[h], 0, cached, 0);
    }
    int most = pages == null ? ROWS : 1;
    for (int m = 0; m < group; m += most) {
      tokenRows(worker, h, h * group + m, Math.min(most, group - m), cached);
    }
  }

  private void tokenRows(int worker, int h, int first, int rows, int cached) {
    float[] p = scores[worker];
    int ld = shape.keySeqLen();
    int count = 0;
    for (int r = 0; r < rows; r++) {
      count = choose(h, first + r, cached);
    }
    int[] list = places[first];
    for (int s = 0; s < count; ) {
      int run = run(list, s, count);
      scoreCached(worker, h, first, rows, list[s], run, s);
      s += run;
    }
    for (int r = 0; r < rows; r++) {
      weighing.weigh(worker, first + r, next - 1, count, attended[first + r], p, r * ld);
    }
    int o = first * valueDim;
    Arrays.fill(out, o, o + rows * valueDim, 0);
    for (int s = 0; s < count; ) {
      int run = run(list, s, count);
      int at = list[s];
      store.mix(h, at, at + run, rows, p, s, ld, out, o, tiles[worker]);
      s += run;
    }
    boolean counted =
        policy.weights() == CachePolicy.Weights.ALL
            || policy.weights() == CachePolicy.Weights.NEWEST;
    for (int r = 0; r < rows && counted; r++) {
      for (int s = 0; s < count; s++) {
        weights[h][places[first + r][s]] += p[r * ld + s] / (double) group;
      }
    }
  }

  /// Lists the places that a query reads and their positions.
  private int choose(int h, int problem, int cached) {
    int count = cached;
    if (pages == null || paging == null) {
      System.arraycopy(positions[h], 0, attended[problem], 0, cached);
    } else {
      int[] list = places[problem];
      count = pages.select(h, cached, paging, q, problem * dim, marks[h], sorted[h], list);
      for (int s = 0; s < count; s++) {
        attended[problem][s] = positions[h][list[s]];
      }
    }
    attendedCount[problem] = count;
    return count;
  }

  /// Number of places from `list[from]` on that lie one after the other.
  private static int run(int[] list, int from, int count) {
    int run = 1;
    while (from + run < count && list[from + run] == list[from] + run) {
      run++;
    }
    return run;
  }

  /// Writes the scores of some query heads' rows and a run of cached keys from column `at` on.
  private void scoreCached(int worker, int h, int problem, int rows, int place, int run, int at) {
    float[] p = scores[worker];
    int ld = shape.keySeqLen();
    RowTile tile = tiles[worker];
    if (weighing.dotProducts()) {
      store.dots(h, place, place + run, rows, q, problem * dim, p, at, ld, tile);
      for (int r = 0; r < rows; r++) {
        kernels.scale(run, scale, p, r * ld + at, p, r * ld + at);
      }
      return;
    }
    for (int s = 0; s < run; s += RowTile.ROWS) {
      int length = Math.min(RowTile.ROWS, run - s);
      store.readKeys(h, place + s, place + s + length, tile.rows(), 0);
      for (int r = 0; r < rows; r++) {
        int own = problem + r;
        int to = r * ld + at + s;
        weighing.score(worker, own, q, own * dim, length, tile.rows(), 0, p, to);
      }
    }
  }

  /// Drops all but the positions of largest score.
  private void compress() {
    int cached = store.positions();
    int budget = Math.max(0, policy.budget(prompt));
    if (cached <= budget) {
      return;
    }
    for (int h = 0; h < heads; h++) {
      policy.score(view, h, marks[h]);
    }
    for (int h = 0; h < heads; h++) {
      Selection.markLargest(marks[h], cached, budget, sorted[h]);
      int to = 0;
      for (int j = 0; j < cached; j++) {
        if (marks[h][j] == Selection.STAYS) {
          positions[h][to] = positions[h][j];
          weights[h][to] = weights[h][j];
          kept[h * budget + to++] = j;
        }
      }
    }
    store.keep(kept, budget);
  }

  /// Positions taken.
  public int position() {
    return next;
  }

  /// Positions that the last token's query of a query head attended to, ascending.
  ///
  /// @param problem (batch entry, query head) pair
  public int[] attended(int problem) {
    return Arrays.copyOf(attended[problem], attendedCount[problem]);
  }

  /// Bytes of the cached keys and values.
  public long stateBytes() {
    return store.bytes();
  }

  /// Lists what the policy may look at.
  private final class View implements CacheView {
    private final float[] value = new float[store.valueStride()];

    @Override
    public int cached() {
      return store.positions();
    }

    @Override
    public int prompt() {
      return prompt;
    }

    @Override
    public int dim() {
      return shape.headDim();
    }

    @Override
    public int valueDim() {
      return shape.valueDim();
    }

    @Override
    public int group() {
      return group;
    }

    @Override
    public int queryHeads() {
      return shape.numHeads();
    }

    @Override
    public int position(int h, int place) {
      return positions[h][place];
    }

    @Override
    public void key(int h, int place, float[] into) {
      store.readKeys(h, place, place + 1, into, 0);
    }

    @Override
    public void value(int h, int place, float[] into) {
      store.readValues(h, place, place + 1, value, 0);
      System.arraycopy(value, 0, into, 0, valueDim);
    }

    @Override
    public double weight(int h, int place) {
      return weights[h][place];
    }

    @Override
    public void promptQuery(int h, int member, int at, float[] into) {
      int dim = shape.headDim();
      System.arraycopy(unrotated, ((h * group + member) * prompt + at) * dim, into, 0, dim);
    }
  }
}
