// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.optimiser;

import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.models.graph.Parameter;
import dev.crossover.models.graph.Team;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/// Changes parameters by their gradients, in PyTorch's arithmetic and order: norm of all gradients,
/// clipping, learning rate of the step, update.
///
/// | | g ← | then |
/// |-|-----|------|
/// | sgd | g + λ p | m ← μ m + (1 − damp) g, first m = g; p ← p − lr m, nesterov: lr (g + μ m) |
/// | adam | g + λ p | m ← β1 m + (1−β1) g; v ← β2 v + (1−β2) g²; p ← p − lr m̂/(√v̂ + ε) |
/// | adamw | – | p ← p (1 − lr λ), then as adam |
///
/// Allocates everything when it is made. Elements do not depend on each other and the norm is
/// summed per fixed piece and over the pieces in their order: same bits for any number of threads.
public final class Optimiser {
  private static final int PIECE = 1 << 14;

  private final Kernels kernels = Kernels.get();
  private final Parameter[] parameters;
  private final Tensor[] first;
  private final Tensor[] second;
  private final int[] owner;
  private final int[] start;
  private final double[] squares;
  private final Team team;
  private final Workers.Task square = this::square;
  private final Workers.Task update = this::update;
  private final double beta1;
  private final double beta2;
  private final float eps;
  private final float weightDecay;
  private final boolean onlyMatrices;
  private final float momentum;
  private final float dampened;
  private final boolean nesterov;
  private final double clip;
  private final long elements;
  private final LearningRate schedule;
  private final boolean sgd;
  private final boolean decoupled;
  private float scale;
  private float rate;
  private float stepSize;
  private float rootCorrection;
  private boolean firstStep;
  private double gradNorm;
  private double learningRate;

  /// @param parameters what is changed, by their gradients
  /// @param threads number of threads, at least 1
  public Optimiser(OptimiserOptions options, List<Parameter> parameters, int threads) {
    schedule = options.learningRate();
    beta1 = options.beta(0);
    beta2 = options.beta(1);
    eps = (float) options.eps();
    weightDecay = (float) options.weightDecay();
    onlyMatrices = options.onlyMatrices();
    momentum = (float) options.momentum();
    dampened = (float) (1 - options.dampening());
    nesterov = options.nesterov();
    clip = options.clip().orElse(Double.POSITIVE_INFINITY);
    elements = parameters.stream().mapToLong(p -> p.value().size()).sum();
    this.parameters = parameters.toArray(Parameter[]::new);
    this.team = new Team(threads);
    sgd = options.optimiser().equals("sgd");
    decoupled = options.optimiser().equals("adamw");
    boolean hasFirst = !sgd || options.momentum() > 0;
    first = new Tensor[this.parameters.length];
    second = new Tensor[this.parameters.length];
    int pieces = 0;
    for (int i = 0; i < this.parameters.length; i++) {
      int[] shape = this.parameters[i].value().shape();
      first[i] = Tensor.zeros(hasFirst ? shape : new int[] {0});
      second[i] = Tensor.zeros(sgd ? new int[] {0} : shape);
      pieces += Math.ceilDiv(this.parameters[i].value().size(), PIECE);
    }
    owner = new int[pieces];
    start = new int[pieces];
    squares = new double[pieces];
    int piece = 0;
    for (int i = 0; i < this.parameters.length; i++) {
      for (int at = 0; at < this.parameters[i].value().size(); at += PIECE) {
        owner[piece] = i;
        start[piece] = at;
        piece++;
      }
    }
  }

  /// Changes every parameter by its gradient.
  ///
  /// @param step the number of the step, from 0; steps follow one another
  public void step(long step) {
    team.run(owner.length, elements, square);
    double sum = 0;
    for (double part : squares) {
      sum += part;
    }
    gradNorm = Math.sqrt(sum);
    scale = (float) Math.min(1, clip / (gradNorm + 1e-6));
    learningRate = schedule.at(step);
    rate = (float) learningRate;
    firstStep = step == 0;
    double t = step + 1;
    stepSize = (float) (learningRate / (1 - Math.pow(beta1, t)));
    rootCorrection = (float) Math.sqrt(1 - Math.pow(beta2, t));
    team.run(owner.length, 8 * elements, update);
  }

  /// Norm of all gradients together before clipping, of the last step.
  public double gradNorm() {
    return gradNorm;
  }

  /// Learning rate of the last step.
  public double learningRate() {
    return learningRate;
  }

  /// What the optimiser remembers: `first.NAME` and `second.NAME` of every parameter; the tensors
  /// themselves, so that writing to them resumes a run.
  public Map<String, Tensor> state() {
    Map<String, Tensor> state = new LinkedHashMap<>();
    for (int i = 0; i < parameters.length; i++) {
      if (first[i].size() > 0) {
        state.put("first." + parameters[i].name(), first[i]);
      }
      if (second[i].size() > 0) {
        state.put("second." + parameters[i].name(), second[i]);
      }
    }
    return state;
  }

  /// Bytes of [#state].
  public long stateBytes() {
    return state().values().stream().mapToLong(tensor -> 4L * tensor.size()).sum();
  }

  private int length(int piece) {
    return Math.min(PIECE, parameters[owner[piece]].value().size() - start[piece]);
  }

  private void square(int worker, int piece) {
    float[] gradient = parameters[owner[piece]].gradient().data();
    double sum = 0;
    int end = start[piece] + length(piece);
    for (int at = start[piece]; at < end; at += 256) {
      int count = Math.min(256, end - at);
      sum += kernels.dot(count, gradient, at, gradient, at);
    }
    squares[piece] = sum;
  }

  private void update(int worker, int piece) {
    int i = owner[piece];
    Parameter parameter = parameters[i];
    boolean decays = !onlyMatrices || parameter.value().rank() >= 2;
    float decay = decays ? weightDecay : 0;
    float[] p = parameter.value().data();
    float[] g = parameter.gradient().data();
    int from = start[piece];
    int to = from + length(piece);
    if (sgd) {
      descend(p, g, first[i].data(), from, to, decay);
    } else {
      adapt(p, g, first[i].data(), second[i].data(), from, to, decay);
    }
  }

  private void descend(float[] p, float[] g, float[] m, int from, int to, float decay) {
    float fresh = firstStep ? 1 : dampened;
    for (int i = from; i < to; i++) {
      float gradient = g[i] * scale + decay * p[i];
      if (momentum > 0) {
        m[i] = momentum * m[i] + fresh * gradient;
        gradient = nesterov ? gradient + momentum * m[i] : m[i];
      }
      p[i] -= rate * gradient;
    }
  }

  private void adapt(float[] p, float[] g, float[] m, float[] v, int from, int to, float decay) {
    float keep1 = (float) beta1;
    float keep2 = (float) beta2;
    float fresh1 = (float) (1 - beta1);
    float fresh2 = (float) (1 - beta2);
    float shrink = decoupled ? (float) (1 - learningRate * decay) : 1;
    float pull = decoupled ? 0 : decay;
    for (int i = from; i < to; i++) {
      float gradient = g[i] * scale + pull * p[i];
      float mean = keep1 * m[i] + fresh1 * gradient;
      float square = keep2 * v[i] + fresh2 * gradient * gradient;
      m[i] = mean;
      v[i] = square;
      float root = (float) Math.sqrt(square) / rootCorrection + eps;
      p[i] = p[i] * shrink - stepSize * mean / root;
    }
  }
}
