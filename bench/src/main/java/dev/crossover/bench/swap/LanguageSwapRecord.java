// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.swap;

import dev.crossover.bench.machine.Machine;
import dev.crossover.bench.result.Student;
import java.util.List;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/// What came of one mechanism put into one language model, as it is or after learning; a JSON line.
///
/// Lists by length are as long as `lengths`; where a length was refused, its lists are empty.
///
/// @param kind always `language_swap`, so that lines of different studies can be told apart
/// @param model the model's name
/// @param weights the first 16 hexadecimal digits of the SHA-256 of its weights' file
/// @param text name of the text
/// @param textDigest the first 16 hexadecimal digits of the SHA-256 of its held-out part
/// @param setting the mechanism, as on the command line
/// @param treatment what was done with it
/// @param budget steps of learning, in words; empty where nothing was learned
/// @param status whether it could be done
/// @param reason why not, or why not at every length; empty where it could
/// @param lengths bytes of the windows
/// @param windows most windows of each length
/// @param bits bits per byte of the swapped model, by length and window
/// @param original those of the model as it was trained, by length and window
/// @param errors output error on the original's activations in the first window, by length and
///     block: after the transfer of a transferred one, empty from scratch
/// @param work floating-point operations of the mechanism beside those of exact attention, by
///     length
/// @param stateTokens tokens after which the state was counted
/// @param stateBytes bytes that decoding keeps after them, all blocks; −1 where it does not decode
/// @param choosesAhead whether keys are chosen with the help of later tokens, so that its bits per
///     byte may be too few
/// @param loss bits per byte of the last steps of learning; null where nothing was learned
/// @param machine where it ran
/// @param commit of the code
public record LanguageSwapRecord(
    String kind,
    String model,
    String weights,
    String text,
    String textDigest,
    String setting,
    Treatment treatment,
    String budget,
    Status status,
    String reason,
    List<Integer> lengths,
    int windows,
    List<List<Double>> bits,
    List<List<Double>> original,
    List<List<Double>> errors,
    List<Double> work,
    int stateTokens,
    long stateBytes,
    boolean choosesAhead,
    @Nullable Double loss,
    Machine machine,
    String commit) {

  /// What is done with a mechanism.
  public enum Treatment {
    /// Put in, nothing learned.
    AS_IS,
    /// Put in with a store or a policy of its cache, nothing learned: the first half of every
    /// window is a prompt, the other half is decoded token by token.
    DECODED,
    /// Fitted to the original's head outputs, then trained a little on the next byte.
    TRANSFERRED,
    /// In a fresh model of the same sizes.
    SCRATCH
  }

  /// Whether a mechanism could be put in.
  public enum Status {
    /// It was, at one length at least.
    DONE,
    /// The mechanism cannot stand in the model, or diverged.
    REFUSED
  }

  /// The name of the run: runs of the same name are the same.
  public String key() {
    return key(weights, textDigest, lengths, windows, setting, treatment, budget);
  }

  /// The name of a run.
  static String key(
      String weights,
      String textDigest,
      List<Integer> lengths,
      int windows,
      String setting,
      Treatment treatment,
      String budget) {
    return String.join(
        " | ", weights, textDigest, lengths + " x " + windows, setting, treatment.name(), budget);
  }

  /// Refuses a line that is none of these records.
  ///
  /// @throws IllegalArgumentException naming what is missing
  public void requireComplete() {
    boolean named =
        "language_swap".equals(kind) && setting != null && treatment != null && status != null;
    if (!named || weights == null || textDigest == null || budget == null) {
      throw new IllegalArgumentException("record must be a language swap record, but is none");
    }
    boolean whole =
        lengths != null
            && bits != null
            && original != null
            && errors != null
            && work != null
            && (status == Status.REFUSED
                || (bits.size() == lengths.size()
                    && original.size() == lengths.size()
                    && errors.size() == lengths.size()
                    && work.size() == lengths.size()));
    if (!whole) {
      throw new IllegalArgumentException("record must hold a list for every length, but does not");
    }
  }

  /// Mean bits per byte at a length; NaN where it was refused.
  ///
  /// @param at index of the length
  public double meanBits(int at) {
    return mean(bits.get(at));
  }

  /// Mean bits per byte of the original at a length; NaN where this one was refused.
  public double meanOriginal(int at) {
    return mean(original.get(at));
  }

  /// Mean difference to the original at a length, window by window; NaN where it was refused.
  public double meanLoss(int at) {
    return mean(differences(at));
  }

  /// Half the 95 % interval of [#meanLoss] over windows (Student's t); NaN for fewer than two.
  public double halfLoss(int at) {
    return Student.half(differences(at).stream().mapToDouble(Double::doubleValue).toArray());
  }

  private List<Double> differences(int at) {
    List<Double> own = bits.get(at);
    List<Double> other = original.get(at);
    return IntStream.range(0, own.size()).mapToObj(w -> own.get(w) - other.get(w)).toList();
  }

  /// Output error at a length, mean over blocks; NaN where there is none.
  public double meanError(int at) {
    return mean(errors.get(at));
  }

  private static double mean(List<Double> values) {
    return values.stream().mapToDouble(Double::doubleValue).average().orElse(Double.NaN);
  }
}
