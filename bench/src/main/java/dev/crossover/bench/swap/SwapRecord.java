// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.swap;

import dev.crossover.bench.machine.Machine;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// What came of one setting put into one model on one set of texts; a JSON line.
///
/// @param kind always `swap`, so that lines of different studies can be told apart
/// @param model the model's name
/// @param weights the first 16 hexadecimal digits of the SHA-256 of its weights' file
/// @param texts name of the texts
/// @param textsDigest the first 16 hexadecimal digits of the SHA-256 of the texts
/// @param setting as on the command line
/// @param status whether it could be done
/// @param reason why not; empty where it could
/// @param lengths tokens by text
/// @param cosines of original and swapped embedding, by text
/// @param errors output error on the original's activations, by text and layer
/// @param rank Spearman's correlation of the similarities of all pairs; null where undefined
/// @param nearest share of texts with the same most similar other text
/// @param work floating-point operations beside those of exact attention
/// @param exactTexts texts for which exact attention stood in
/// @param machine where it ran
/// @param commit of the code
public record SwapRecord(
    String kind,
    String model,
    String weights,
    String texts,
    String textsDigest,
    String setting,
    Status status,
    String reason,
    List<Integer> lengths,
    List<Double> cosines,
    List<List<Double>> errors,
    @Nullable Double rank,
    double nearest,
    double work,
    int exactTexts,
    Machine machine,
    String commit) {
  private static final double DIGITS = 1e8;

  /// Whether a setting could be put in.
  public enum Status {
    /// It was.
    DONE,
    /// The mechanism cannot stand in an encoder.
    REFUSED
  }

  /// The name of the run: runs of the same name are the same.
  public String key() {
    return key(weights, textsDigest, setting);
  }

  /// The name of a run.
  static String key(String weights, String textsDigest, String setting) {
    return weights + " | " + textsDigest + " | " + setting;
  }

  /// Refuses a line that is none of these records.
  ///
  /// @throws IllegalArgumentException naming what is missing
  public void requireComplete() {
    if (!"swap".equals(kind) || setting == null || status == null || weights == null) {
      throw new IllegalArgumentException("record must be a swap record, but is none");
    }
    boolean whole =
        lengths != null
            && cosines != null
            && errors != null
            && (status == Status.REFUSED
                || (!cosines.isEmpty()
                    && cosines.size() == lengths.size()
                    && errors.size() == lengths.size()
                    && errors.stream().noneMatch(List::isEmpty)));
    if (!whole) {
      throw new IllegalArgumentException("record must hold a number for every text, but does not");
    }
  }

  /// Numbers as they are stored, eight digits after the point.
  static List<Double> stored(double[] values) {
    List<Double> list = new ArrayList<>();
    for (double value : values) {
      list.add(Math.rint(value * DIGITS) / DIGITS);
    }
    return List.copyOf(list);
  }

  /// Whether the setting is a control.
  public boolean namesControl() {
    return setting.startsWith("control:");
  }

  /// Mean cosine.
  public double meanCosine() {
    return mean(cosines);
  }

  /// Least cosine.
  public double leastCosine() {
    return cosines.stream().mapToDouble(Double::doubleValue).min().orElse(Double.NaN);
  }

  /// Mean cosine of texts of at least so many tokens; NaN where there are none.
  public double meanCosineFrom(int tokens) {
    List<Double> some = new ArrayList<>();
    for (int t = 0; t < cosines.size(); t++) {
      if (lengths.get(t) >= tokens) {
        some.add(cosines.get(t));
      }
    }
    return mean(some);
  }

  /// Output error by layer, mean over texts.
  public double[] errorsByLayer() {
    double[] sums = new double[errors.isEmpty() ? 0 : errors.getFirst().size()];
    for (List<Double> text : errors) {
      for (int layer = 0; layer < sums.length; layer++) {
        sums[layer] += text.get(layer) / errors.size();
      }
    }
    return sums;
  }

  /// Output error, mean over texts, then over layers.
  public double meanError() {
    return Arrays.stream(errorsByLayer()).average().orElse(Double.NaN);
  }

  private static double mean(List<Double> values) {
    return values.stream().mapToDouble(Double::doubleValue).average().orElse(Double.NaN);
  }
}
