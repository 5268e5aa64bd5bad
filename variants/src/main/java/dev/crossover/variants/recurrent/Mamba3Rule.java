// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.recurrent;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.BoundTensors;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.Kernels;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/// Mamba-3's recurrence: rows of q and k are biased and turned by angles that add up along the
/// sequence, and a write is completed when the next token comes.
///
/// ```
/// θ_t   = Σ_{u ≤ t} π tanh(angles_u) dt_u                    real positions only
/// S_t   = α_t S_{t−1} + α_t (1 − λ_t) dt_t k_{t−1} v_{t−1}ᵀ + λ_t dt_t k_t v_tᵀ
/// ```
final class Mamba3Rule extends SkipAndGate {
  private final Kernels kernels = Kernels.get();
  private final int groups;
  private final int dim;
  private final int pairs;

  /// θ of every head, at the last token so far.
  private final double[] theta;

  private float[] q = UNWANTED;
  private float[] k = UNWANTED;
  private float[] logDecay = UNWANTED;
  private float[] timeStep = UNWANTED;
  private float[] trapezoid = UNWANTED;
  private float[] angles = UNWANTED;
  private float[] queryBias = UNWANTED;
  private float[] keyBias = UNWANTED;

  /// cos θ and sin θ of every row and pair.
  private float[] cosines = UNWANTED;

  private float[] sines = UNWANTED;
  private int tokens;
  private Mask mask = Mask.none();
  private @Nullable Workers workers;
  private final Workers.Task turn = this::turn;
  private final Workers.Task perToken = this::addPerToken;

  private float[] gradLogDecay = UNWANTED;
  private float[] gradTimeStep = UNWANTED;
  private float[] gradTrapezoid = UNWANTED;
  private float[] gradAngles = UNWANTED;
  private float[] gradQueryBias = UNWANTED;
  private float[] gradKeyBias = UNWANTED;
  private float[] gradOwn = UNWANTED;
  private float[] gradLater = UNWANTED;
  private float[] gradTheta = UNWANTED;
  private float[] queryParts = UNWANTED;
  private float[] keyParts = UNWANTED;
  private double[] suffixes = new double[0];

  Mamba3Rule(int groups, int pairs, AttentionShape shape) {
    super(shape);
    this.groups = groups;
    this.pairs = pairs;
    dim = shape.headDim();
    theta = new double[problems * pairs];
  }

  @Override
  public Decay decay() {
    return Decay.TOKEN;
  }

  @Override
  public boolean weighsWrites() {
    return true;
  }

  @Override
  public boolean completesLater() {
    return true;
  }

  @Override
  public boolean formsRows() {
    return true;
  }

  @Override
  public boolean formsValues() {
    return false;
  }

  @Override
  public int queryKeyHeads(AttentionShape shape) {
    return groups;
  }

  @Override
  public void allocate(AttentionShape shape, Mask ofKeys, Scratch scratch) {
    mask = ofKeys;
    tokens = shape.querySeqLen();
    cosines = scratch.floats((long) problems * tokens * pairs);
    sines = scratch.floats((long) problems * tokens * pairs);
    scratch.include((long) theta.length * Double.BYTES);
  }

  @Override
  public void bind(BoundTensors inputs) {
    q = inputs.get("q");
    k = inputs.get("k");
    logDecay = inputs.get("log_decay");
    timeStep = inputs.get("time_step");
    trapezoid = inputs.get("trapezoid");
    angles = inputs.get("angles");
    queryBias = inputs.get("query_bias");
    keyBias = inputs.get("key_bias");
    super.bind(inputs);
  }

  @Override
  public void prepare(Workers ofPlan) {
    workers = ofPlan;
    Arrays.fill(theta, 0);
    ofPlan.run(problems, turn);
  }

  @Override
  public void proceed(int newTokens, boolean first) {
    tokens = newTokens;
    if (cosines.length < problems * tokens * pairs) {
      cosines = new float[problems * tokens * pairs];
      sines = new float[problems * tokens * pairs];
    }
    if (first) {
      Arrays.fill(theta, 0);
    }
    for (int problem = 0; problem < problems; problem++) {
      turn(0, problem);
    }
  }

  @Override
  public long proceedBytes() {
    return (long) theta.length * Double.BYTES;
  }

  /// cos θ and sin θ of the rows of one head; θ is kept within a turn, in double.
  private void turn(int worker, int problem) {
    int from = problem * tokens * pairs;
    for (int row = problem * tokens; row < (problem + 1) * tokens && pairs > 0; row++) {
      boolean real = isReal(problem, row);
      for (int a = 0; a < pairs; a++) {
        int sum = problem * pairs + a;
        if (real) {
          double step = Math.PI * Math.tanh(angles[row * pairs + a]) * timeStep[row];
          theta[sum] = Math.IEEEremainder(theta[sum] + step, 2 * Math.PI);
        }
        cosines[row * pairs + a] = (float) theta[sum];
      }
    }
    kernels.sinCos(tokens * pairs, cosines, from, sines, from, cosines, from);
  }

  private boolean isReal(int problem, int row) {
    return mask.isRealKey(problem / heads, row % tokens);
  }

  private double lambda(int row) {
    return 1 / (1 + Math.exp(-trapezoid[row]));
  }

  @Override
  public double logDecay(int head, int row) {
    return logDecay[row];
  }

  /// λ_t dt_t.
  @Override
  public float writeStrength(int head, int row) {
    return (float) (lambda(row) * timeStep[row]);
  }

  /// (1 − λ_t) dt_t.
  @Override
  public float laterStrength(int head, int row) {
    return (float) (timeStep[row] / (1 + Math.exp(trapezoid[row])));
  }

  @Override
  public void formQuery(int head, int row, float[] tensor, int qo, float[] left, int at) {
    kernels.add(dim, tensor, qo, queryBias, head * dim, left, at);
    rotate(row, left, at, 1);
  }

  @Override
  public void formKey(int head, int row, float[] tensor, int ko, float[] keys, int at) {
    kernels.add(dim, tensor, ko, keyBias, head * dim, keys, at);
    rotate(row, keys, at, 1);
  }

  /// Turns the pairs (2a, 2a + 1) by ±θ.
  private void rotate(int row, float[] x, int at, float sign) {
    int from = row * pairs;
    for (int a = 0; a < pairs; a++) {
      float even = x[at + 2 * a];
      float odd = x[at + 2 * a + 1];
      float cosine = cosines[from + a];
      float sine = sign * sines[from + a];
      x[at + 2 * a] = even * cosine - odd * sine;
      x[at + 2 * a + 1] = even * sine + odd * cosine;
    }
  }

  @Override
  public void allocateGradients(AttentionShape shape, int parts, Scratch scratch) {
    super.allocateGradients(shape, parts, scratch);
    long rows = (long) problems * shape.querySeqLen();
    gradOwn = scratch.floats(rows);
    gradLater = scratch.floats(rows);
    gradTheta = scratch.floats(rows * pairs);
    queryParts = scratch.floats((long) parts * dim);
    keyParts = scratch.floats((long) parts * dim);
    suffixes = scratch.doubles((long) problems * pairs);
  }

  @Override
  public void bindGradients(BoundTensors gradients) {
    super.bindGradients(gradients);
    gradLogDecay = States.place(gradients, "log_decay");
    gradTimeStep = States.place(gradients, "time_step");
    gradTrapezoid = States.place(gradients, "trapezoid");
    gradAngles = States.place(gradients, "angles");
    gradQueryBias = States.place(gradients, "query_bias");
    gradKeyBias = States.place(gradients, "key_bias");
    Arrays.fill(gradOwn, 0);
    Arrays.fill(gradLater, 0);
    Arrays.fill(gradTheta, 0);
    Arrays.fill(queryParts, 0);
    Arrays.fill(keyParts, 0);
  }

  @Override
  public float[] gradLogDecays() {
    return gradLogDecay;
  }

  @Override
  public float[] gradStrengths() {
    return gradOwn;
  }

  @Override
  public float[] gradLaterStrengths() {
    return gradLater;
  }

  @Override
  public void formQueryBack(
      int part, int head, int row, float[] gradLeft, int at, float[] place, int go) {
    rowBack(head, row, q, queryBias, gradLeft, at, place, go);
    kernels.add(dim, queryParts, part * dim, gradLeft, at, queryParts, part * dim);
  }

  @Override
  public void formKeyBack(
      int part, int head, int row, float[] gradKeys, int at, float[] place, int go) {
    rowBack(head, row, k, keyBias, gradKeys, at, place, go);
    kernels.add(dim, keyParts, part * dim, gradKeys, at, keyParts, part * dim);
  }

  /// `dθ_a += d_odd x_even − d_even x_odd` of the turned pair, then the gradient turned back, in
  /// place and to where the row came from.
  private void rowBack(
      int head, int row, float[] tensor, float[] bias, float[] grad, int at, float[] to, int go) {
    int problem = row / tokens;
    int shared = problem / heads * groups + head / (heads / groups);
    int from = (shared * tokens + row % tokens) * dim;
    for (int a = 0; a < pairs; a++) {
      int angle = row * pairs + a;
      float x = tensor[from + 2 * a] + bias[head * dim + 2 * a];
      float y = tensor[from + 2 * a + 1] + bias[head * dim + 2 * a + 1];
      float even = x * cosines[angle] - y * sines[angle];
      float odd = x * sines[angle] + y * cosines[angle];
      gradTheta[angle] += grad[at + 2 * a + 1] * even - grad[at + 2 * a] * odd;
    }
    rotate(row, grad, at, -1);
    if (to.length > 0) {
      kernels.add(dim, to, go, grad, at, to, go);
    }
  }

  @Override
  public void addGradients() {
    super.addGradients();
    if (workers != null) {
      workers.run(problems, perToken);
    }
    States.addParts(queryParts, dim, heads, problems, gradQueryBias);
    States.addParts(keyParts, dim, heads, problems, gradKeyBias);
  }

  /// From θ, λ dt and (1 − λ) dt to angles, time steps and trapezoid, from the last token to the
  /// first; D is the sum of dθ so far.
  private void addPerToken(int worker, int problem) {
    int sums = problem * pairs;
    Arrays.fill(suffixes, sums, sums + pairs, 0);
    for (int row = (problem + 1) * tokens - 1; row >= problem * tokens; row--) {
      boolean real = isReal(problem, row);
      double turned = 0;
      for (int a = 0; a < pairs; a++) {
        int angle = row * pairs + a;
        suffixes[sums + a] += gradTheta[angle];
        if (real) {
          double tanh = Math.tanh(angles[angle]);
          turned += tanh * suffixes[sums + a];
          if (gradAngles.length > 0) {
            double slope = Math.PI * (1 - tanh * tanh) * timeStep[row];
            gradAngles[angle] += (float) (slope * suffixes[sums + a]);
          }
        }
      }
      if (!real) {
        continue;
      }
      double lambda = lambda(row);
      if (gradTimeStep.length > 0) {
        double strengths = lambda * gradOwn[row] + (1 - lambda) * gradLater[row];
        gradTimeStep[row] += (float) (Math.PI * turned + strengths);
      }
      if (gradTrapezoid.length > 0) {
        double mixed = timeStep[row] * ((double) gradOwn[row] - gradLater[row]);
        gradTrapezoid[row] += (float) (lambda * (1 - lambda) * mixed);
      }
    }
  }
}
