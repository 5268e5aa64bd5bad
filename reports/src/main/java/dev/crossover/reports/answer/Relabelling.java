// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import dev.crossover.attention.random.Draws;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.apache.commons.math3.util.CombinatoricsUtils;
import org.apache.commons.rng.UniformRandomProvider;
import org.apache.commons.rng.sampling.PermutationSampler;

/// Probabilities of differences between two measurements of many points, all points at once.
///
/// Fork f of every point ran in round f of its sweep. With nothing changed, it was chance which
/// rounds belong to the old measurement and which to the new one, so every division of all rounds
/// into two groups of these sizes is equally likely, for all points together: what forks have in
/// common over lengths or over mechanisms stays in. The statistic of a point is the difference of
/// its mean logarithms over its standard error plus the median standard error of all points, which
/// keeps points whose few forks agree by chance from standing out. Its p is the share of divisions
/// in which the largest statistic of all points reaches it, step by step down from the largest
/// (Westfall and Young, Resampling-Based Multiple Testing, 1993, algorithm 4.1). All divisions are
/// visited up to [#MOST] of them, otherwise as many random ones.
final class Relabelling {
  /// Divisions that are visited at most.
  static final int MOST = 20_000;

  private static final double ROUNDING = 1e-9;

  private final double[] slower;
  private final double[] faster;
  private final double smallest;

  private Relabelling(double[] slower, double[] faster, double smallest) {
    this.slower = slower;
    this.faster = faster;
    this.smallest = smallest;
  }

  /// Compares two measurements.
  ///
  /// @param before logarithms by point, then by round; at least one round each
  /// @param after the same points measured again
  static Relabelling of(List<double[]> before, List<double[]> after) {
    int points = before.size();
    int old = rounds(before);
    int now = rounds(after);
    if (points == 0) {
      return new Relabelling(new double[0], new double[0], Double.NaN);
    }
    double[][] all = new double[points][old + now];
    for (int i = 0; i < points; i++) {
      Arrays.fill(all[i], Double.NaN);
      System.arraycopy(before.get(i), 0, all[i], 0, before.get(i).length);
      System.arraycopy(after.get(i), 0, all[i], old, after.get(i).length);
    }
    List<boolean[]> divisions = divisions(old, now);
    double[] observed = statistics(all, divisions.getFirst());
    int[] upward = order(observed);
    long[] up = new long[points];
    long[] down = new long[points];
    for (boolean[] division : divisions) {
      double[] statistics = statistics(all, division);
      // from the least extreme point on: the largest statistic of those not more extreme
      double largest = Double.NEGATIVE_INFINITY;
      for (int i = 0; i < points; i++) {
        largest = Math.max(largest, statistics[upward[i]]);
        up[upward[i]] += largest >= observed[upward[i]] - slack(observed[upward[i]]) ? 1 : 0;
      }
      double least = Double.POSITIVE_INFINITY;
      for (int i = points - 1; i >= 0; i--) {
        least = Math.min(least, statistics[upward[i]]);
        down[upward[i]] += least <= observed[upward[i]] + slack(observed[upward[i]]) ? 1 : 0;
      }
    }
    double[] slower = new double[points];
    double[] faster = new double[points];
    double most = 0;
    for (int i = points - 1; i >= 0; i--) {
      most = Math.max(most, (double) up[upward[i]] / divisions.size());
      slower[upward[i]] = most;
    }
    most = 0;
    for (int i = 0; i < points; i++) {
      most = Math.max(most, (double) down[upward[i]] / divisions.size());
      faster[upward[i]] = most;
    }
    return new Relabelling(slower, faster, 1.0 / divisions.size());
  }

  /// Probability that any point not more extreme would be so much slower by chance.
  double slower(int point) {
    return slower[point];
  }

  /// Probability that any point not more extreme would be so much faster by chance.
  double faster(int point) {
    return faster[point];
  }

  /// Smallest probability so many rounds can give; NaN without a point.
  double smallest() {
    return smallest;
  }

  /// Which rounds count as old: the true division first, then all others or random ones.
  private static List<boolean[]> divisions(int old, int now) {
    List<boolean[]> divisions = new ArrayList<>();
    divisions.add(division(old + now, first(old)));
    if (CombinatoricsUtils.binomialCoefficientDouble(old + now, old) <= MOST) {
      CombinatoricsUtils.combinationsIterator(old + now, old)
          .forEachRemaining(
              chosen -> {
                if (chosen[old - 1] >= old) {
                  divisions.add(division(old + now, chosen));
                }
              });
      return divisions;
    }
    UniformRandomProvider random =
        Draws.generator(Draws.seedFor(Draws.DEFAULT_SEED, "relabelling"));
    int[] rounds = first(old + now);
    while (divisions.size() < MOST) {
      PermutationSampler.shuffle(random, rounds);
      divisions.add(division(old + now, Arrays.copyOf(rounds, old)));
    }
    return divisions;
  }

  private static int[] first(int count) {
    int[] numbers = new int[count];
    Arrays.setAll(numbers, i -> i);
    return numbers;
  }

  private static boolean[] division(int rounds, int[] chosen) {
    boolean[] division = new boolean[rounds];
    for (int round : chosen) {
      division[round] = true;
    }
    return division;
  }

  /// New minus old, one statistic for each point; 0 where a group has no fork of a point.
  private static double[] statistics(double[][] all, boolean[] old) {
    double[] differences = new double[all.length];
    double[] errors = new double[all.length];
    for (int i = 0; i < all.length; i++) {
      Group left = new Group();
      Group right = new Group();
      for (int round = 0; round < old.length; round++) {
        if (!Double.isNaN(all[i][round])) {
          (old[round] ? left : right).add(all[i][round]);
        }
      }
      if (left.count > 0 && right.count > 0) {
        differences[i] = right.mean - left.mean;
        errors[i] = error(left, right);
      }
    }
    double usual = Statistics.median(errors);
    for (int i = 0; i < all.length; i++) {
      double error = errors[i] + usual;
      // neither forks nor other points vary: any difference is one
      differences[i] =
          error > 0 ? differences[i] / error : differences[i] == 0 ? 0 : differences[i] / ROUNDING;
    }
    return differences;
  }

  private static double error(Group left, Group right) {
    int freedom = left.count + right.count - 2;
    double squares = left.squares + right.squares;
    return freedom == 0 ? 0 : Math.sqrt(squares / freedom * (1.0 / left.count + 1.0 / right.count));
  }

  /// Mean and squared deviations of values, one by one (Welford, Technometrics 4, 1962).
  private static final class Group {
    private int count;
    private double mean;
    private double squares;

    void add(double value) {
      count++;
      double distance = value - mean;
      mean += distance / count;
      squares += distance * (value - mean);
    }
  }

  private static double slack(double statistic) {
    return ROUNDING * (1 + Math.abs(statistic));
  }

  private static int rounds(List<double[]> points) {
    return points.stream().mapToInt(forks -> forks.length).max().orElse(0);
  }

  private static int[] order(double[] values) {
    return Arrays.stream(first(values.length))
        .boxed()
        .sorted((a, b) -> Double.compare(values[a], values[b]))
        .mapToInt(i -> i)
        .toArray();
  }
}
