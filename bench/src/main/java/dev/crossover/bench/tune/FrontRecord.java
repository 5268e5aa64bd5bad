// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.tune;

import dev.crossover.bench.error.HeadErrors.Interval;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// One setting that was tried, one JSON line: its error where settings are chosen and on the other
/// part, and what it costs. Its time, where it was timed, is in the result records beside it.
///
/// @param kind `front`, which tells such a line from a result record
/// @param schema version of this layout, [#SCHEMA] when written by this code
/// @param input label of the input on which settings are chosen
/// @param otherInput label of the input on which they are judged; absent where both are heads of
///     one input: chosen on the even ones, judged on the odd ones
/// @param n sequence length
/// @param heads query heads
/// @param headDim width of a head
/// @param mask `none` or `causal`
/// @param threads number of threads
/// @param seed seed of everything drawn
/// @param mechanism name in the catalogue
/// @param spec the shortest `name:param=value,…` that recreates the setting
/// @param permitted the permitted errors that were asked for
/// @param flops counted work of a forward pass
/// @param chosen error where settings are chosen
/// @param other error on the other part; absent for an input of one head
/// @param perHead relative error of each head
/// @param entropy of each head's exact weights in nats, mean over sampled rows: beside the exact
///     baseline where settings are sought by head, otherwise absent
/// @param rows rows of each head that were compared; all where the sampled ones left open on which
///     side of a permitted error the setting lies
/// @param seconds of a forward pass, about: the fastest of a few calls in the process that computes
///     errors, which only says what is worth timing; absent where the error is beyond all permitted
///     ones
/// @param cpu model name of the machine
/// @param commit commit of the code
public record FrontRecord(
    String kind,
    int schema,
    String input,
    @Nullable String otherInput,
    int n,
    int heads,
    int headDim,
    String mask,
    int threads,
    long seed,
    String mechanism,
    String spec,
    List<Double> permitted,
    double flops,
    Interval chosen,
    @Nullable Interval other,
    List<Double> perHead,
    @Nullable List<Double> entropy,
    int rows,
    @Nullable Double seconds,
    String cpu,
    String commit) {

  /// What [#kind] says.
  public static final String KIND = "front";

  /// Version of the layout this code writes.
  public static final int SCHEMA = 1;

  /// Copies the lists.
  ///
  /// @throws IllegalArgumentException if it is no such record, or parts of it are missing
  public FrontRecord {
    if (!KIND.equals(kind)) {
      throw new IllegalArgumentException("kind must be " + KIND + ", but was " + kind);
    }
    if (schema < 1 || schema > SCHEMA) {
      throw new IllegalArgumentException(
          "schema must be from 1 to " + SCHEMA + ", but was " + schema);
    }
    Object[] required = {input, mask, mechanism, spec, permitted, chosen, perHead, cpu, commit};
    for (Object part : required) {
      if (part == null) {
        throw new IllegalArgumentException("record must be complete, but parts were missing");
      }
    }
    if (n < 1) {
      throw new IllegalArgumentException("n must be >= 1, but was " + n);
    }
    permitted = List.copyOf(permitted);
    perHead = List.copyOf(perHead);
    entropy = entropy == null ? null : List.copyOf(entropy);
  }

  /// Identity of the problem: settings of one problem compete.
  public String problemKey() {
    return String.join(
        "|",
        input,
        String.valueOf(otherInput),
        Integer.toString(n),
        Integer.toString(heads),
        Integer.toString(headDim),
        mask,
        Integer.toString(threads),
        Long.toString(seed),
        cpu,
        commit);
  }

  /// Identity of the setting on its problem.
  public String key() {
    return problemKey() + "|" + spec;
  }

  /// Whether all rows were compared.
  boolean whole() {
    return rows >= n;
  }

  /// Whether the error is known well enough for some permitted errors: all rows were compared, or
  /// no interval holds one of them.
  boolean decides(List<Double> errors) {
    return whole()
        || errors.stream().noneMatch(e -> chosen.holds(e) || other != null && other.holds(e));
  }

  /// Whether the setting is within a permitted error where it was chosen, but not on the other
  /// part.
  public boolean onlyWhereChosen(double error) {
    return chosen.within(error) && other != null && !other.within(error);
  }
}
