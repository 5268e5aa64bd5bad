package dev.crossover.bench.tune;

import dev.crossover.attention.mechanism.Mechanism.Approximates;
import dev.crossover.attention.mechanism.MechanismType;
import dev.crossover.attention.mechanism.RecordType.KnobInfo;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.bench.error.ErrorProblem;
import dev.crossover.bench.error.ErrorStudy;
import dev.crossover.bench.error.ExactRows;
import dev.crossover.variants.Catalogue;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Consumer;

/// Searches the knobs of mechanisms: the error of every setting first, in double precision on
/// sampled rows, its cost from counted work; only the cheapest within an error are then worth
/// timing.
///
/// **No winner's curse.** Settings are chosen by their error on the even heads of the input; the
/// error that counts is that on the odd heads, which had no part in the choice. An input of one
/// head has no other part, and says so.
public final class Tuner {
  private final ErrorProblem problem;
  private final Consumer<String> progress;
  private final Map<Boolean, ExactRows> exact = new HashMap<>();

  /// A setting and what is known of it before it is timed.
  ///
  /// @param spec as on the command line
  /// @param mechanism its name
  /// @param flops counted work of one forward pass
  /// @param chosenOn root mean square over the even heads of the relative error
  /// @param heldOut the same over the odd heads; NaN for an input of one head
  public record Setting(
      String spec, String mechanism, double flops, double chosenOn, double heldOut) {

    /// The error that counts: that on heads which had no part in the choice, where there are any.
    public double error() {
      return Double.isNaN(heldOut) ? chosenOn : heldOut;
    }
  }

  /// @param problem tensors of one length under one mask
  /// @param progress is told the name of each mechanism
  public Tuner(ErrorProblem problem, Consumer<String> progress) {
    this.problem = problem;
    this.progress = progress;
  }

  /// Names of the mechanisms that can be tuned: those that approximate softmax and have a knob.
  public static List<String> tunable() {
    return Catalogue.all().stream()
        .filter(type -> type.mechanism().approximates() == Approximates.SOFTMAX)
        .filter(type -> type.mechanism().target().isEmpty())
        .filter(type -> !type.knobs().isEmpty())
        .map(MechanismType::name)
        .toList();
  }

  /// Every combination of a mechanism's knobs, as specs.
  static List<String> grid(MechanismType type) {
    List<String> specs = List.of(type.name());
    for (KnobInfo knob : type.knobs()) {
      List<String> longer = new ArrayList<>();
      for (String spec : specs) {
        for (int value : knob.values()) {
          longer.add(ErrorProblem.with(spec, knob.name(), Integer.toString(value)));
        }
      }
      specs = longer;
    }
    return specs;
  }

  /// The settings of a mechanism that run on the problem and take less counted work than exact
  /// attention, with their errors.
  ///
  /// @param most flops beyond which a setting is not tried
  public List<Setting> settings(String mechanism, double most) {
    progress.accept(mechanism);
    List<Setting> settings = new ArrayList<>();
    for (String spec : grid(Catalogue.find(mechanism))) {
      problem
          .run(spec)
          .ifPresent(
              run -> {
                double flops =
                    run.attention()
                        .cost(problem.shape(), problem.mask(), problem.threads())
                        .flops();
                if (flops < most) {
                  settings.add(setting(spec, mechanism, flops, run));
                }
              });
    }
    return settings;
  }

  /// Counted work of the optimised exact baseline.
  public double exactFlops() {
    return Catalogue.parse("tiled")
        .cost(problem.shape(), problem.mask(), problem.threads())
        .flops();
  }

  private Setting setting(String spec, String mechanism, double flops, ErrorProblem.Run run) {
    Tensor output = problem.output(run);
    ExactRows rows =
        exact.computeIfAbsent(
            run.target().selfLast(),
            _ ->
                ExactRows.of(
                    run.target(), ExactRows.positions(problem.shape()), problem.threads()));
    List<Double> perHead = ErrorStudy.compare(output, rows).perHead();
    return new Setting(spec, mechanism, flops, rms(perHead, 0), rms(perHead, 1));
  }

  private static double rms(List<Double> perHead, int first) {
    double sum = 0;
    int count = 0;
    for (int h = first; h < perHead.size(); h += 2) {
      sum += perHead.get(h) * perHead.get(h);
      count++;
    }
    return count == 0 ? Double.NaN : Math.sqrt(sum / count);
  }

  /// Of all settings those worth timing: for every permitted error and mechanism the cheapest few
  /// within it.
  ///
  /// @param settings what [#settings] found
  /// @param errors permitted errors
  /// @param each how many of a mechanism for an error
  public static List<Setting> worthTiming(List<Setting> settings, List<Double> errors, int each) {
    Set<Setting> chosen = new LinkedHashSet<>();
    List<String> mechanisms = settings.stream().map(Setting::mechanism).distinct().toList();
    for (String mechanism : mechanisms) {
      for (double error : errors) {
        settings.stream()
            .filter(setting -> setting.mechanism().equals(mechanism))
            .filter(setting -> setting.chosenOn() <= error)
            .sorted(Comparator.comparingDouble(Setting::flops))
            .limit(each)
            .forEach(chosen::add);
      }
    }
    return List.copyOf(chosen);
  }
}
