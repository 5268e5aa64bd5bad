// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.reading;

import dev.crossover.attention.tensor.TensorFileException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/// Golden files of rollout, flow and statistics.
final class LayersReplay {
  private LayersReplay() {}

  static void rollout(ReadingFile file, ExpectedTensors expected) throws TensorFileException {
    AttentionStack stack = stack(file);
    int n = stack.queries();
    int layers = stack.depth();
    expected.compare("rollout", ExpectedTensors.flat(Rollout.of(stack, true)), layers, n, n);
    expected.compare(
        "rollout_without_residual", ExpectedTensors.flat(Rollout.of(stack, false)), layers, n, n);
  }

  static void flow(ReadingFile file, ExpectedTensors expected) throws TensorFileException {
    AttentionStack stack = stack(file);
    int n = stack.queries();
    List<double[][]> flows = new ArrayList<>();
    List<double[][]> shares = new ArrayList<>();
    for (int layers = 1; layers <= stack.depth(); layers++) {
      double[][] flow = AttentionFlow.of(stack, layers);
      flows.add(flow);
      shares.add(AttentionFlow.normalised(flow));
    }
    expected.compare("max_flow", ExpectedTensors.flat(flows), stack.depth(), n, n);
    expected.compare("flow", ExpectedTensors.flat(shares), stack.depth(), n, n);
  }

  static void statistics(ReadingFile file, ExpectedTensors expected) throws TensorFileException {
    double[][][] heads = file.matrices("attention", 3);
    int count = heads.length;
    double[][] numbers = new double[7][count];
    double[] divergence = new double[count * count];
    for (int h = 0; h < count; h++) {
      HeadStatistics s = HeadStatistics.of(heads[h]);
      numbers[0][h] = s.entropy();
      numbers[1][h] = s.entropyExact();
      numbers[2][h] = s.meanDistance();
      numbers[3][h] = s.toPrevious();
      numbers[4][h] = s.toSelf();
      numbers[5][h] = s.toNext();
      numbers[6][h] = s.toFirst();
      for (int other = 0; other < count; other++) {
        divergence[h * count + other] = HeadStatistics.divergence(heads[h], heads[other]);
      }
    }
    List<String> names =
        List.of(
            "entropy",
            "entropy_exact",
            "mean_distance",
            "to_previous",
            "to_self",
            "to_next",
            "to_first");
    for (int i = 0; i < names.size(); i++) {
      expected.compare(names.get(i), numbers[i], count);
    }
    expected.compare("js_divergence", divergence, count, count);
  }

  private static AttentionStack stack(ReadingFile file) throws TensorFileException {
    int[] shape = file.shape("attention", 4);
    double[][][] all = file.matrices("attention", 4);
    List<double[][][]> layers = new ArrayList<>();
    for (int l = 0; l < shape[0]; l++) {
      layers.add(Arrays.copyOfRange(all, l * shape[1], (l + 1) * shape[1]));
    }
    return new AttentionStack(layers);
  }
}
