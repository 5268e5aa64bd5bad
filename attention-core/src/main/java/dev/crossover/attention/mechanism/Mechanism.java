// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.mechanism;

import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;

/// What the catalogue says about a mechanism; placed on the record that implements it.
///
/// Command line, documentation, charts and conformance read everything from here and from the
/// record's components (see [Parameter]).
@Retention(RetentionPolicy.RUNTIME)
@Target(ElementType.TYPE)
public @interface Mechanism {
  /// Name on the command line, snake case.
  String name();

  /// Name in golden files' metadata when it differs from [#name].
  String golden() default "";

  /// Values of the key `level` with which golden files mean this one, where a mechanism and a layer
  /// share [#golden]: `head` and `module`; an empty text is a file without the key.
  String[] goldenLevels() default {};

  /// What the mechanism is called in prose, for example `Performer (FAVOR+)`.
  String title();

  /// Authors, title, venue, year.
  String paper();

  /// arXiv identifier, or empty.
  String arxiv() default "";

  /// The family it is listed under.
  Family family();

  /// What it approximates; decides whether an error against exact attention means anything.
  Approximates approximates();

  /// What its error is measured against where that is not softmax attention over the queries and
  /// keys it is given, for example `softmax over queries and keys of unit length`; empty where it
  /// is. Such a mechanism cannot take exact attention's place in a trained model, however small its
  /// error.
  String target() default "";

  /// The parameter setting that makes it exact, or the rate at which its error falls, or why
  /// neither.
  String exactness();

  /// Time of one head as a formula in n, d and the parameters, for the documentation.
  String time();

  /// Memory of one head beyond inputs and output, as a formula.
  String memory();

  /// Exponent of n in time for large n, without a causal mask where both exist.
  double exponent();

  /// What limits its speed on a processor, found by measuring, in one sentence; empty when nobody
  /// has looked yet.
  String bound() default "";

  /// Why it does not decode token by token, or with which settings it does not, and why; empty
  /// where it always does. `crossover list` and every refused session say this.
  String decoding() default "";

  /// What a padded position does to a state that is carried along the sequence; empty where none
  /// is, or where such a position does nothing to it.
  String padding() default "";

  /// Branches whose outputs are added, each times an input `gate_NAME` of its own; a gate of zero
  /// switches it off. Branches that a parameter switches off are declared by [Branch].
  String[] gatedBranches() default {};

  /// Where the paper and its authors' code differ.
  Difference[] differences() default {};

  /// Families of the catalogue.
  enum Family {
    /// Exact softmax attention.
    EXACT,
    /// Other score functions.
    SCORE,
    /// Fixed or selected subsets of pairs.
    SPARSE,
    /// Locality-sensitive hashing.
    HASHING,
    /// Low-rank projections and landmarks.
    LOW_RANK,
    /// Kernel feature maps.
    FEATURE_MAP,
    /// Recurrences and relative positions.
    RECURRENT
  }

  /// What a mechanism approximates.
  enum Approximates {
    /// It is softmax attention.
    EXACT,
    /// Softmax attention: the error is a measure of quality.
    SOFTMAX,
    /// Nothing: an error against softmax would be meaningless and is not shown.
    NONE
  }

  /// One difference between paper and code, both of which exist here under a named option.
  @interface Difference {
    /// The quantity they disagree on.
    String what();

    /// What the paper says.
    String paper();

    /// What the authors' code does.
    String code();

    /// `parameter=value` pairs, joined by commas, that select the paper's behaviour on top of the
    /// defaults; empty when the defaults do.
    String paperOption();

    /// `parameter=value` pairs, joined by commas, that select the code's behaviour on top of the
    /// defaults; empty when the defaults do.
    String codeOption();

    /// Which is the default, and why.
    String defaultIs();

    /// The test that shows the difference, as `Class.method`.
    String test();
  }

  /// Names of annotated classes.
  final class Names {
    private Names() {}

    /// The command-line name of a mechanism's class; the simple class name without an annotation.
    public static String of(Class<?> type) {
      Mechanism mechanism = type.getAnnotation(Mechanism.class);
      return mechanism == null ? type.getSimpleName() : mechanism.name();
    }

    /// Why an annotated class does not decode, or `not supported` where it does not say.
    public static String undecoded(Class<?> type) {
      Mechanism mechanism = type.getAnnotation(Mechanism.class);
      return mechanism == null || mechanism.decoding().isEmpty()
          ? "not supported"
          : mechanism.decoding();
    }
  }
}
