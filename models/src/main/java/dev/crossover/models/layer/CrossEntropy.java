// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import dev.crossover.attention.kernel.Kernels;
import dev.crossover.models.graph.Graph;
import dev.crossover.models.graph.Operation;
import dev.crossover.models.graph.Rows;
import dev.crossover.models.graph.Value;
import java.util.List;

/// Cross-entropy over the labelled rows, N of them: mean of lse(z) − Σ target · z + ζ lse(z)², the
/// target (1 − ε) at the label and ε/C everywhere; 0 when N = 0.
///
/// Backward: dz = (softmax(z) (1 + 2 ζ lse) − target)/N. Where a gradient is
/// asked for, the logits are overwritten: by their softmax, then by their gradient.
public final class CrossEntropy extends Operation {
  private static final int EXACT_CLASSES = 512;

  private final Kernels kernels = Kernels.get();
  private final Selection selection;
  private final int classes;
  private final double smoothing;
  private final double zLoss;
  private final double[] losses;
  private final double[] normalisers;
  private final int[] correct;

  private CrossEntropy(
      Graph graph, Value loss, Value logits, Selection selection, double smoothing, double zLoss) {
    super(graph, loss, List.of(logits));
    this.selection = selection;
    this.classes = logits.width();
    this.smoothing = smoothing;
    this.zLoss = zLoss;
    int rows = logits.rows().capacity();
    losses = graph.layout().doubles(rows);
    normalisers = graph.layout().doubles(rows);
    correct = graph.layout().ints(rows);
  }

  /// Adds the loss of logits `[labelled rows, classes]`.
  public static CrossEntropy add(
      Graph graph, Value logits, Selection selection, LayerOptions options) {
    Value loss = graph.value("loss", logits.rows(), 0, 1, List.of(logits), List.of()).pin();
    CrossEntropy entropy =
        new CrossEntropy(
            graph,
            loss,
            logits.overwriteWithGradient(),
            selection,
            options.labelSmoothing(),
            options.zLoss());
    graph.add(entropy);
    return entropy;
  }

  @Override
  protected int scratch() {
    return classes;
  }

  @Override
  protected long work() {
    return 8L * classes;
  }

  @Override
  protected void forward(int worker, int from, int to) {
    float[] z = input(0).data();
    float[] work = graph().scratch(worker);
    for (int r = from; r < to; r++) {
      int at = r * classes;
      float most = kernels.max(classes, z, at);
      double sum = exponentials(z, at, most, work);
      double lse = most + Math.log(sum);
      normalisers[r] = lse;
      float own = z[at + selection.label(r)];
      double loss = lse - (1 - smoothing) * own + zLoss * lse * lse;
      if (smoothing > 0) {
        loss -= smoothing / classes * kernels.sum(classes, z, at);
      }
      losses[r] = loss;
      output().data()[r] = (float) loss;
      correct[r] = own == most && first(z, at, most) == selection.label(r) ? 1 : 0;
      if (wants(0)) {
        kernels.scale(classes, (float) (1 / sum), work, 0, z, at);
      }
    }
  }

  /// exp(z − most) into `work`, and their sum: to the last bit where classes are few, by the
  /// kernel where they are so many that it would be most of the work.
  private double exponentials(float[] z, int at, float most, float[] work) {
    if (classes > EXACT_CLASSES) {
      return kernels.exp(classes, 1, -most, z, at, work, 0);
    }
    double sum = 0;
    for (int c = 0; c < classes; c++) {
      double e = Math.exp((double) z[at + c] - most);
      work[c] = (float) e;
      sum += e;
    }
    return sum;
  }

  private int first(float[] z, int at, float value) {
    int c = 0;
    while (c < classes - 1 && z[at + c] != value) {
      c++;
    }
    return c;
  }

  /// The logits hold their softmax since the forward pass.
  @Override
  protected void backward(int worker, int from, int to) {
    float[] dz = input(0).gradient();
    double share = 1.0 / Math.max(1, selection.rows().active());
    for (int r = from; r < to; r++) {
      int at = r * classes;
      float factor = (float) (share * (1 + 2 * zLoss * normalisers[r]));
      kernels.scale(classes, factor, dz, at, dz, at);
      if (smoothing > 0) {
        float spread = (float) (share * smoothing / classes);
        for (int c = 0; c < classes; c++) {
          dz[at + c] -= spread;
        }
      }
      dz[at + selection.label(r)] -= (float) (share * (1 - smoothing));
    }
  }

  /// The mean over the labelled rows of the last forward pass.
  public double loss() {
    Rows rows = selection.rows();
    double sum = 0;
    for (int r = 0; r < rows.active(); r++) {
      sum += losses[r];
    }
    return rows.active() == 0 ? 0 : sum / rows.active();
  }

  /// The loss of a labelled row of the last forward pass.
  public double loss(int row) {
    return losses[row];
  }

  /// Whether the largest logit of a labelled row of the last forward pass is the label's.
  public boolean isCorrect(int row) {
    return correct[row] == 1;
  }

  /// Number of labelled rows of the last forward pass whose largest logit is the label's; of equal
  /// logits the first counts.
  public int correct() {
    int sum = 0;
    for (int r = 0; r < selection.rows().active(); r++) {
      sum += correct[r];
    }
    return sum;
  }
}
