// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.peers;

import dev.crossover.models.graph.Parameter;
import dev.crossover.models.model.Batch;
import dev.crossover.models.optimiser.OptimiserOptions;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.function.DoubleUnaryOperator;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.openblas.presets.openblas_nolapack;
import org.bytedeco.pytorch.AdamW;
import org.bytedeco.pytorch.AdamWOptions;
import org.bytedeco.pytorch.DoubleOptional;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;

/// The same model in libtorch: its operations one by one, gradients by autograd, its fused
/// attention, its AdamW. Its elementwise work and attention run on OpenMP's threads, its products
/// on those of OpenBLAS: two teams, each of which waits by spinning and so disturbs the other, so
/// that products may be better off on one thread.
final class LibtorchTraining implements TrainingContender {
  private static final double NORM_EPS = 1e-5;
  private static final double ROPE_BASE = 10000;

  private final TrainingProblem problem;
  private final Map<String, Tensor> parameters = new LinkedHashMap<>();
  private final List<Tensor> tokens = new ArrayList<>();
  private final List<Tensor> labels = new ArrayList<>();
  private final TensorVector all = new TensorVector();
  private final AdamW optimiser;
  private final double clip;
  private final int productThreads;
  private final Tensor cosines;
  private final Tensor sines;
  private int steps;

  /// @param threads of everything but products
  /// @param productThreads threads of a product
  LibtorchTraining(TrainingProblem problem, int threads, int productThreads) {
    this.problem = problem;
    this.productThreads = productThreads;
    torch.set_num_threads(threads);
    for (Parameter parameter : problem.parameters().all()) {
      int[] shape = parameter.value().shape();
      long[] sizes = new long[shape.length];
      for (int i = 0; i < shape.length; i++) {
        sizes[i] = shape[i];
      }
      Tensor tensor = Tensor.create(parameter.value().data(), sizes).set_requires_grad(true);
      parameters.put(parameter.name(), tensor);
      all.push_back(tensor);
    }
    for (Batch batch : problem.batches()) {
      tokens.add(numbers(batch.tokens()));
      labels.add(numbers(Objects.requireNonNull(batch.labels())));
    }
    OptimiserOptions options = problem.recipe().optimiser();
    clip = options.clip().orElse(Double.POSITIVE_INFINITY);
    try (AdamWOptions given = new AdamWOptions(options.lr())) {
      given.weight_decay().put(options.weightDecay());
      given.eps().put(options.eps());
      optimiser = new AdamW(all, given);
    }
    cosines = turns(Math::cos);
    sines = turns(Math::sin);
  }

  private static Tensor numbers(int[] values) {
    long[] numbers = new long[values.length];
    for (int i = 0; i < values.length; i++) {
      numbers[i] = values[i];
    }
    return Tensor.create(numbers, values.length);
  }

  /// Cosines or sines of all positions and features: `[n, d]`, the same in both halves.
  private Tensor turns(DoubleUnaryOperator function) {
    int d = problem.width() / problem.heads();
    float[] table = new float[problem.length() * d];
    for (int t = 0; t < problem.length(); t++) {
      for (int c = 0; c < d; c++) {
        double angle = t * Math.pow(ROPE_BASE, -2.0 * (c % (d / 2)) / d);
        table[t * d + c] = (float) function.applyAsDouble(angle);
      }
    }
    return Tensor.create(table, problem.length(), d);
  }

  @Override
  public String name() {
    return "libtorch 2.10.0, eager, products on " + productThreads;
  }

  @Override
  public double step() {
    try (PointerScope _ = new PointerScope()) {
      openblas_nolapack.blas_set_num_threads(productThreads);
      optimiser.zero_grad();
      int batch = steps % tokens.size();
      Tensor loss = torch.cross_entropy_loss(logits(tokens.get(batch)), labels.get(batch));
      loss.backward();
      torch.clip_grad_norm_(all, clip);
      optimiser.step();
      steps++;
      return loss.item_float();
    }
  }

  private Tensor parameter(String name) {
    return Objects.requireNonNull(parameters.get(name), name);
  }

  /// `[batch · n, 256]`.
  private Tensor logits(Tensor given) {
    Tensor x =
        torch
            .embedding(parameter("embedding.weight"), given, -1, false, false)
            .mul(new Scalar(Math.sqrt(problem.width())));
    if (problem.positions().equals("learned")) {
      x =
          x.view(problem.batch(), problem.length(), problem.width())
              .add(parameter("positions.weight"))
              .view(problem.tokens(), problem.width());
    }
    for (int i = 0; i < problem.blocks(); i++) {
      String block = "layers." + i + ".";
      x = x.add(attention(block + "mixer.", norm(block + "norm1.", x)));
      x = x.add(feedForward(block + "feed_forward.", norm(block + "norm2.", x)));
    }
    return torch.linear(norm("final_norm.", x), parameter("embedding.weight"));
  }

  private Tensor norm(String prefix, Tensor x) {
    return torch.layer_norm(
        x,
        new long[] {problem.width()},
        new TensorOptional(parameter(prefix + "weight")),
        new TensorOptional(parameter(prefix + "bias")),
        NORM_EPS,
        false);
  }

  private Tensor feedForward(String prefix, Tensor x) {
    Tensor up = torch.linear(x, parameter(prefix + "up_weight"), parameter(prefix + "up_bias"));
    return torch.linear(
        torch.gelu(up), parameter(prefix + "down_weight"), parameter(prefix + "down_bias"));
  }

  private Tensor attention(String prefix, Tensor x) {
    Tensor query = turned(heads(torch.linear(x, parameter(prefix + "query_weight"))));
    Tensor key = turned(heads(torch.linear(x, parameter(prefix + "key_weight"))));
    Tensor value = heads(torch.linear(x, parameter(prefix + "value_weight")));
    Tensor mixed =
        torch.scaled_dot_product_attention(
            query, key, value, new TensorOptional(), 0, true, new DoubleOptional(), false);
    Tensor rows = mixed.transpose(1, 2).reshape(problem.tokens(), problem.width());
    return torch.linear(rows, parameter(prefix + "output_weight"));
  }

  /// `[batch, heads, n, d]`.
  private Tensor heads(Tensor rows) {
    int d = problem.width() / problem.heads();
    return rows.view(problem.batch(), problem.length(), problem.heads(), d).transpose(1, 2);
  }

  /// Rotation of pairs half a head apart: x cos φ + (−second half, first half) sin φ.
  private Tensor turned(Tensor x) {
    if (!problem.positions().equals("rope")) {
      return x;
    }
    int half = problem.width() / problem.heads() / 2;
    Tensor first = x.narrow(-1, 0, half);
    Tensor second = x.narrow(-1, half, half);
    Tensor swapped = torch.cat(new TensorVector(second.neg(), first), -1);
    return x.mul(cosines).add(swapped.mul(sines));
  }

  @Override
  public void close() {
    optimiser.close();
    all.close();
    parameters.values().forEach(Tensor::close);
    tokens.forEach(Tensor::close);
    labels.forEach(Tensor::close);
    cosines.close();
    sines.close();
    openblas_nolapack.blas_set_num_threads(1);
  }
}
