// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.quality;

import dev.crossover.attention.random.Draws;
import dev.crossover.bench.result.Student;
import dev.crossover.models.graph.Parameters;
import dev.crossover.models.layer.Mechanisms;
import dev.crossover.models.model.Batch;
import dev.crossover.models.model.Initialisation;
import dev.crossover.models.model.Model;
import dev.crossover.models.model.ModelKind;
import dev.crossover.models.model.ModelShape;
import dev.crossover.models.model.Purpose;
import dev.crossover.models.task.Parity;
import dev.crossover.models.training.Recipe;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.commons.math3.stat.regression.SimpleRegression;
import org.apache.commons.rng.UniformRandomProvider;

/// How much the first symbol of a word moves what a random model says after the last one, against
/// the word's length; nothing is trained.
///
/// ```
/// I(n) = mean over words x of n bits of  max |logits(x) − logits(x with its first bit flipped)|
/// ```
///
/// Hahn (TACL 2020), Lemma 5, as restated by Chiang and Cholak (ACL 2022): with bounded scores and
/// Lipschitz layers I(n) = O(1/n), a slope of −1 in logarithms, whatever the weights; a model of
/// that kind cannot be sure of a parity, or of any other function that every symbol decides, once
/// words are long. Decays forget exponentially, windows entirely; a state that is never averaged
/// keeps what it was told.
///
/// @param mixer `MIXER+key=value…`
/// @param lengths of the words, ascending
/// @param values I(n) by seed and length
/// @param floors what float32 rounding alone may make of the largest logit, by seed and length
public record Influence(String mixer, List<Integer> lengths, double[][] values, double[][] floors) {
  /// Roundings of the largest logit that a difference must exceed to be one.
  private static final double ROUNDINGS = 8;

  private static final double HALF_ULP = Math.ulp(1f) / 2;
  private static final int LEAST_POINTS = 3;
  private static final Map<String, String> MODEL =
      Map.of(
          "layers", "2",
          "width", "64",
          "inner", "128",
          "feed_forward", "gelu",
          "positions", "none",
          "embedding_scale", "1",
          "initialisation", "fan_in");

  /// A number with its 95 % interval over seeds; NaN where there is none.
  ///
  /// @param mean over the seeds
  /// @param low lower end
  /// @param high upper end
  public record Estimate(double mean, double low, double high) {
    static Estimate of(double[] seeds) {
      if (seeds.length == 0) {
        return new Estimate(Double.NaN, Double.NaN, Double.NaN);
      }
      double mean = Student.mean(seeds);
      double half = Student.half(seeds);
      return new Estimate(mean, mean - half, mean + half);
    }
  }

  /// Measures a mixer in models of two blocks of width 64 with two heads, without positions.
  ///
  /// @param mixer with options, which override the model's
  /// @param lengths of the words, ascending
  /// @param seeds number of models, from seed 1
  /// @param words number of words of each length
  /// @param threads number of threads; the numbers do not depend on it
  /// @throws IllegalArgumentException if the mixer cannot be in such a model, by name
  /// @throws UnsupportedOperationException likewise
  public static Influence of(
      String mixer, List<Integer> lengths, int seeds, int words, int threads) {
    int longest = lengths.getLast();
    Map<String, String> given = new LinkedHashMap<>(MODEL);
    given.put("heads", Mechanisms.isBaseline(mixer.split("\\+", 2)[0]) ? "1" : "2");
    Recipe recipe = Recipe.of(new Parity(longest, true, 0), mixer, given, longest);
    double[][] values = new double[seeds][lengths.size()];
    double[][] floors = new double[seeds][lengths.size()];
    for (int seed = 0; seed < seeds; seed++) {
      Parameters parameters =
          Initialisation.of(ModelKind.LANGUAGE_MODEL, recipe.layers(), recipe.sizes(), seed + 1L);
      for (int i = 0; i < lengths.size(); i++) {
        int n = lengths.get(i);
        Model model =
            Model.plan(
                ModelKind.LANGUAGE_MODEL,
                recipe.layers().with("training", "false"),
                parameters,
                ModelShape.of(2, n),
                Purpose.LOGITS,
                threads);
        double largest = 0;
        for (int word = 0; word < words; word++) {
          float[] logits = model.logits(new Batch(pair(n, word), null, null, null, null)).data();
          int classes = model.classes();
          double most = 0;
          for (int c = 0; c < classes; c++) {
            double one = logits[(n - 1) * classes + c];
            double other = logits[(2 * n - 1) * classes + c];
            most = Math.max(most, Math.abs(one - other));
            largest = Math.max(largest, Math.max(Math.abs(one), Math.abs(other)));
          }
          values[seed][i] += most / words;
        }
        floors[seed][i] = ROUNDINGS * HALF_ULP * largest;
      }
    }
    return new Influence(mixer, List.copyOf(lengths), values, floors);
  }

  /// A word and the same word with its first bit flipped, the same for every mixer and seed.
  private static int[] pair(int n, int word) {
    UniformRandomProvider random =
        Draws.generator(Draws.seedFor(Draws.DEFAULT_SEED, "influence " + n + " " + word));
    int[] tokens = new int[2 * n];
    for (int t = 0; t < n; t++) {
      tokens[t] = random.nextInt(2);
      tokens[n + t] = tokens[t];
    }
    tokens[n] = 1 - tokens[0];
    return tokens;
  }

  /// I(n) over the seeds.
  ///
  /// @param index of the length
  public Estimate at(int index) {
    return Estimate.of(Arrays.stream(values).mapToDouble(seed -> seed[index]).toArray());
  }

  /// Slope of the logarithm of I(n) against that of n, fitted for every seed to the lengths at
  /// which the difference exceeds rounding, at least three; over the seeds that have one.
  public Estimate slope() {
    List<Double> slopes = new ArrayList<>();
    for (int seed = 0; seed < values.length; seed++) {
      SimpleRegression line = new SimpleRegression();
      for (int i = 0; i < lengths.size(); i++) {
        if (values[seed][i] > floors[seed][i]) {
          line.addData(Math.log(lengths.get(i)), Math.log(values[seed][i]));
        }
      }
      if (line.getN() >= LEAST_POINTS) {
        slopes.add(line.getSlope());
      }
    }
    return Estimate.of(slopes.stream().mapToDouble(Double::doubleValue).toArray());
  }

  /// The length from which the first symbol has no influence at all; zero where it always has.
  public int zeroFrom() {
    int from = 0;
    for (int i = lengths.size() - 1; i >= 0 && at(i).mean() == 0; i--) {
      from = lengths.get(i);
    }
    return from;
  }

  /// The length from which differences are within float32 rounding, but not all zero; zero where
  /// none is.
  public int roundingFrom() {
    int from = 0;
    for (int i = lengths.size() - 1; i >= 0; i--) {
      double floor = Double.MAX_VALUE;
      for (double[] seed : floors) {
        floor = Math.min(floor, seed[i]);
      }
      double mean = at(i).mean();
      if (mean > floor) {
        break;
      }
      from = mean > 0 ? lengths.get(i) : from;
    }
    return from;
  }
}
