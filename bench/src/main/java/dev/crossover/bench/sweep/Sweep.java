// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.sweep;

import dev.crossover.attention.Attention;
import dev.crossover.attention.Capabilities.Causality;
import dev.crossover.attention.mechanism.Nearest;
import dev.crossover.attention.random.Draws;
import dev.crossover.bench.input.InputSource;
import dev.crossover.bench.result.ResultRecord.Study;
import dev.crossover.models.layer.LayerCatalogue;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;

/// What to measure: the product of its lists.
///
/// @param studies what to time
/// @param specs mechanisms as `name:param=value,…`
/// @param lengths sequence lengths n
/// @param dims head widths, 0 for the input's own
/// @param heads query heads, 0 for the input's own
/// @param batches sequences, 0 for the input's own
/// @param masks `none` or `causal`
/// @param threads numbers of threads
/// @param inputs labels of inputs
/// @param seeds seeds
/// @param effort how often and how long
/// @param shard which share of the mechanisms, from 0
/// @param shards number of shares
public record Sweep(
    List<Study> studies,
    List<String> specs,
    List<Integer> lengths,
    List<Integer> dims,
    List<Integer> heads,
    List<Integer> batches,
    List<String> masks,
    List<Integer> threads,
    List<String> inputs,
    List<Long> seeds,
    Effort effort,
    int shard,
    int shards) {

  /// How often and how long each point is measured.
  ///
  /// @param forks processes per point, spread over as many rounds
  /// @param settings one process
  public record Effort(int forks, Forks.Settings settings) {
    /// A minute or two for a few points: three forks of three short iterations.
    public static final Effort QUICK = new Effort(3, new Forks.Settings(1, 3, 50));

    /// For conclusions: five forks of five iterations.
    public static final Effort STANDARD = new Effort(5, new Forks.Settings(1, 5, 100));

    /// For publication: ten forks of ten iterations.
    public static final Effort FULL = new Effort(10, new Forks.Settings(2, 10, 200));

    /// The effort of a name.
    ///
    /// @param name `quick`, `standard` or `full`
    /// @throws IllegalArgumentException with the nearest name if there is none
    public static Effort of(String name) {
      List<String> names = List.of("quick", "standard", "full");
      return switch (names.indexOf(name)) {
        case 0 -> QUICK;
        case 1 -> STANDARD;
        case 2 -> FULL;
        default ->
            throw new IllegalArgumentException(
                "effort must be one of " + names + ", but was " + name + Nearest.hint(name, names));
      };
    }

    /// The same length with another number of forks, at least 1.
    public Effort withForks(int newForks) {
      if (newForks < 1) {
        throw new IllegalArgumentException("forks must be >= 1, but was " + newForks);
      }
      return new Effort(newForks, settings);
    }
  }

  /// Checks every name, so that a typing error is found before anything runs.
  ///
  /// @throws IllegalArgumentException naming what is unknown, with the nearest name
  public Sweep {
    for (String spec : specs) {
      LayerCatalogue.parse(spec);
    }
    for (String input : inputs) {
      InputSource.parse(input);
    }
    if (shards < 1 || shard < 0 || shard >= shards) {
      throw new IllegalArgumentException(
          "shard must be from 1/N to N/N, but was " + (shard + 1) + "/" + shards);
    }
  }

  /// The default: both exact baselines and three approximations on the captured input.
  ///
  /// @param threads number of threads
  public static Sweep defaults(int threads) {
    return new Sweep(
        List.of(Study.FORWARD),
        List.of("materialised", "tiled", "longformer", "linear_transformer", "performer"),
        List.of(256, 512, 1024, 2048, 4096, 8192),
        List.of(0),
        List.of(0),
        List.of(0),
        List.of("causal"),
        List.of(threads),
        List.of(InputSource.CAPTURED),
        List.of(Draws.DEFAULT_SEED),
        Effort.QUICK,
        0,
        1);
  }

  /// The points of this share, in a fixed order, each once.
  ///
  /// Mechanisms are written in their shortest form, so that two spellings are one point.
  public List<Point> points() {
    return SweepPlan.of(this).points();
  }

  /// The points of all shares, in a fixed order, each once.
  List<Point> allPoints() {
    Set<Point> all = new LinkedHashSet<>();
    for (Study study : studies) {
      for (String input : inputs) {
        for (long seed : seeds) {
          for (int threadCount : threads) {
            for (String mask : masks) {
              for (int batch : batches) {
                for (int head : heads) {
                  for (int dim : dims) {
                    for (String spec : specs) {
                      Attention attention = LayerCatalogue.parse(spec);
                      for (int n : lengths) {
                        all.add(
                            new Point(
                                study,
                                LayerCatalogue.describe(attention),
                                n,
                                dim,
                                head,
                                batch,
                                maskOf(attention, study, mask),
                                threadCount,
                                InputSource.parse(input).label(),
                                seed));
                      }
                    }
                  }
                }
              }
            }
          }
        }
      }
    }
    return List.copyOf(all);
  }

  /// The mask a mechanism can honour, so that one that knows a single order is measured once.
  private static String maskOf(Attention attention, Study study, String wished) {
    return switch (attention.capabilities().causal()) {
      case Causality.NEVER -> "none";
      case Causality.ALWAYS -> "causal";
      case Causality.OPTIONAL -> study.wholeSequence() ? wished : "causal";
    };
  }
}
