// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.error;

import dev.crossover.attention.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;

/// Where a mechanism errs: by head, by the query's position, and by the distance it looks back.
///
/// Positions and distances are put into bins `[2ᵇ, 2ᵇ⁺¹)` of position + 1 and distance + 1; the
/// largest of all joins the bin before.
///
/// @param spec the mechanism
/// @param heads numbers by head
/// @param errorByPosition relative Frobenius error of the rows of a bin, mean over seeds
/// @param massByDistance share of the exact weights at the distances of a bin
/// @param ownMassByDistance sum of the mechanism's weights there per row, mean over seeds
/// @param misplacedByDistance half the sum of absolute differences of weights there per row, mean
///     over seeds; the sum over bins is the total variation
public record PlaceStudy(
    String spec,
    List<Head> heads,
    List<Double> errorByPosition,
    List<Double> massByDistance,
    List<Double> ownMassByDistance,
    List<Double> misplacedByDistance) {
  /// Number of heaviest keys of an exact row whose weight is looked up.
  public static final int TOP = 32;

  /// Numbers of one head over seeds.
  ///
  /// @param head number of the head
  /// @param error relative Frobenius error of the output
  /// @param totalVariation mean over rows of half the sum of absolute differences of weights: 0
  ///     when equal, 1 when disjoint; rows of almost no weight have 1/2, negative weights may give
  ///     more than 1
  /// @param topMass mean share of an exact row's weight on its 32 heaviest keys
  /// @param ownTopMass mean sum of the mechanism's weights on those same keys
  /// @param rowSum mean sum of the mechanism's weights of a row, 1 for exact attention
  public record Head(
      int head,
      Spread error,
      Spread totalVariation,
      double topMass,
      Spread ownTopMass,
      Spread rowSum) {}

  /// Sums over rows of one head and seed.
  private record Sums(double variation, double top, double ownTop, double rowSum) {}

  /// Computes the study; empty when the mechanism cannot honour the mask or refuses the sizes.
  ///
  /// @param problem of at most 512 positions
  /// @param seeds seeds of random mechanisms
  /// @throws IllegalArgumentException if the spec is not valid or the problem is larger
  public static Optional<PlaceStudy> of(ErrorProblem problem, String spec, int seeds) {
    int bins = bin(Math.max(0, problem.shape().querySeqLen() - 2)) + 1;
    double[] position = new double[bins];
    double[] mass = new double[bins];
    double[] own = new double[bins];
    double[] misplaced = new double[bins];
    int heads = problem.shape().numHeads();
    List<List<Double>> errors = lists(heads);
    List<List<Sums>> sums = new ArrayList<>();
    for (int h = 0; h < heads; h++) {
      sums.add(new ArrayList<>());
    }
    List<ErrorProblem.Run> runs =
        problem.seeded(spec, seeds).stream().flatMap(s -> problem.run(s).stream()).toList();
    if (runs.isEmpty()) {
      return Optional.empty();
    }
    Tensor exact = problem.exact(runs.getFirst());
    EffectiveWeights weights = EffectiveWeights.exact(problem, runs.getFirst().target());
    for (ErrorProblem.Run run : runs) {
      Tensor output = problem.output(run);
      List<Double> perHead = ErrorStudy.compare(output, exact).perHead();
      EffectiveWeights its = EffectiveWeights.of(problem, run);
      byPosition(output, exact, position);
      for (int h = 0; h < heads; h++) {
        errors.get(h).add(perHead.get(h));
        sums.get(h).add(byDistance(its, weights, h, mass, own, misplaced));
      }
    }
    double rows = (double) runs.size() * heads * problem.shape().querySeqLen();
    List<Head> all = new ArrayList<>();
    for (int h = 0; h < heads; h++) {
      List<Sums> its = sums.get(h);
      all.add(
          new Head(
              h,
              Spread.of(errors.get(h)),
              Spread.of(its.stream().map(Sums::variation).toList()),
              its.getFirst().top(),
              Spread.of(its.stream().map(Sums::ownTop).toList()),
              Spread.of(its.stream().map(Sums::rowSum).toList())));
    }
    return Optional.of(
        new PlaceStudy(
            spec,
            List.copyOf(all),
            scaled(position, runs.size()),
            scaled(mass, rows),
            scaled(own, rows),
            scaled(misplaced, rows)));
  }

  /// Number of the bin of a position or distance from 0.
  static int bin(int from0) {
    return 31 - Integer.numberOfLeadingZeros(from0 + 1);
  }

  /// Adds the relative error of every bin's rows.
  private static void byPosition(Tensor output, Tensor exact, double[] bins) {
    int n = exact.extent(2);
    int width = exact.extent(3);
    double[] difference = new double[bins.length];
    double[] reference = new double[bins.length];
    for (int e = 0; e < exact.size(); e++) {
      int b = Math.min(bins.length - 1, bin(e / width % n));
      double delta = (double) output.data()[e] - exact.data()[e];
      difference[b] += delta * delta;
      reference[b] += (double) exact.data()[e] * exact.data()[e];
    }
    for (int b = 0; b < bins.length; b++) {
      bins[b] += reference[b] == 0 ? 0 : Math.sqrt(difference[b] / reference[b]);
    }
  }

  private static Sums byDistance(
      EffectiveWeights its,
      EffectiveWeights exact,
      int h,
      double[] mass,
      double[] own,
      double[] misplaced) {
    int nk = exact.keys();
    int offset = nk - exact.queries();
    double variation = 0;
    double top = 0;
    double ownTop = 0;
    double rowSum = 0;
    for (int i = 0; i < exact.queries(); i++) {
      float least = smallestOfTop(exact.heads()[h], i * nk, nk);
      int room = TOP;
      for (int j = 0; j < nk; j++) {
        double e = exact.heads()[h][i * nk + j];
        double w = its.heads()[h][i * nk + j];
        int b = Math.min(mass.length - 1, bin(Math.abs(i + offset - j)));
        double half = Math.abs(w - e) / 2;
        mass[b] += e;
        own[b] += w;
        misplaced[b] += half;
        variation += half;
        rowSum += w;
        if (e > 0 && e >= least && room > 0) {
          top += e;
          ownTop += w;
          room--;
        }
      }
    }
    double rows = exact.queries();
    return new Sums(variation / rows, top / rows, ownTop / rows, rowSum / rows);
  }

  private static float smallestOfTop(float[] weights, int from, int count) {
    float[] row = Arrays.copyOfRange(weights, from, from + count);
    Arrays.sort(row);
    return row[Math.max(0, count - TOP)];
  }

  private static List<List<Double>> lists(int count) {
    List<List<Double>> lists = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      lists.add(new ArrayList<>());
    }
    return lists;
  }

  private static List<Double> scaled(double[] sums, double count) {
    return Arrays.stream(sums).map(sum -> sum / count).boxed().toList();
  }
}
