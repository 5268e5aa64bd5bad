// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.quality;

import dev.crossover.bench.machine.Machine;
import dev.crossover.models.training.TaskTraining;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/// One training run: what was learned, with what, how well.
///
/// @param kind always `quality`, so that lines of different studies can be told apart
/// @param task as on the command line
/// @param mixer as on the command line, options included
/// @param recipe model, optimiser and run, by key
/// @param seed of the model
/// @param dataSeed of the samples
/// @param status how the run ended
/// @param reason why it ended early; empty where it did not
/// @param steps steps done
/// @param curve thinned: step and mean loss of the steps since the point before
/// @param looks what looks at test samples saw, by step and length
/// @param chance accuracy of the best guess that looks at nothing
/// @param parameters numbers that were trained
/// @param stateBytes bytes a decoding session keeps after one sample, all blocks together; −1 where
///     the mixer has no session
/// @param tokensPerSecond tokens trained on per second, evaluations left out
/// @param seconds wall time of the run, evaluations included
/// @param threads number of threads
/// @param machine where it ran
/// @param commit of the code
/// @param command as it was typed; null where nobody typed one
/// @param evaluations what looks at test samples saw at other settings of the mechanism, once the
///     model was trained; null in files that were written before there were any
/// @param positionLosses loss by position in the end, where the task is of a text; null otherwise,
///     and in records that were written before this was
public record QualityRecord(
    String kind,
    String task,
    String mixer,
    Map<String, String> recipe,
    long seed,
    long dataSeed,
    Status status,
    String reason,
    long steps,
    List<CurvePoint> curve,
    List<TaskTraining.Look> looks,
    double chance,
    long parameters,
    long stateBytes,
    double tokensPerSecond,
    double seconds,
    int threads,
    Machine machine,
    String commit,
    @Nullable String command,
    @Nullable List<Evaluation> evaluations,
    @Nullable List<TaskTraining.PositionLoss> positionLosses) {

  /// A look at the trained model at another setting of its mechanism.
  ///
  /// @param mixer the mechanism and all of the setting, as on the command line
  /// @param look what it saw
  public record Evaluation(String mixer, TaskTraining.Look look) {}

  /// How a run ended.
  public enum Status {
    /// All steps done.
    FINISHED,
    /// The accuracy that ends a run was reached.
    SOLVED,
    /// Its share of the time was used up.
    BUDGET,
    /// The loss was no longer a number.
    DIVERGED,
    /// The mixer cannot do what the task or model asks.
    REFUSED
  }

  /// A point of the learning curve.
  ///
  /// @param step last step of the stretch
  /// @param loss mean loss of the stretch, in nats
  public record CurvePoint(long step, double loss) {}

  /// The name of the run: runs of the same name are the same.
  public String key() {
    return key(task, mixer, recipe, seed, dataSeed);
  }

  /// The name of a run.
  static String key(
      String task, String mixer, Map<String, String> recipe, long seed, long dataSeed) {
    return task + " | " + mixer + " | " + recipe + " | " + seed + " | " + dataSeed;
  }

  /// Refuses a record of another kind, and one of which parts are missing.
  ///
  /// @throws IllegalArgumentException naming what is wrong
  void requireComplete() {
    if (!"quality".equals(kind)) {
      throw new IllegalArgumentException("kind must be quality, but was " + kind);
    }
    Object[] required = {task, mixer, recipe, status, reason, curve, looks, machine, commit};
    for (Object part : required) {
      if (part == null) {
        throw new IllegalArgumentException("record must be complete, but parts were missing");
      }
    }
  }

  /// What looks at other settings saw; empty where there were none.
  public List<Evaluation> evaluated() {
    return evaluations == null ? List.of() : evaluations;
  }

  /// The same run with what looks at other settings saw.
  QualityRecord evaluated(List<Evaluation> all) {
    return new QualityRecord(
        kind,
        task,
        mixer,
        recipe,
        seed,
        dataSeed,
        status,
        reason,
        steps,
        curve,
        looks,
        chance,
        parameters,
        stateBytes,
        tokensPerSecond,
        seconds,
        threads,
        machine,
        commit,
        command,
        all,
        positionLosses);
  }

  /// The learning rate.
  public double learningRate() {
    return Double.parseDouble(recipe.getOrDefault("lr", "NaN"));
  }

  /// The last look at samples of a length.
  public Optional<TaskTraining.Look> last(int length) {
    return looks.stream().filter(look -> look.length() == length).reduce((_, later) -> later);
  }
}
