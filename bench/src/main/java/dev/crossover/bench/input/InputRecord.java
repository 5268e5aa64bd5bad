// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.input;

/// The declaration of an input: a record annotated with [InputInfo], whose components are annotated
/// with [dev.crossover.attention.mechanism.Parameter].
public interface InputRecord {
  /// The source that it means.
  InputSource source();
}
