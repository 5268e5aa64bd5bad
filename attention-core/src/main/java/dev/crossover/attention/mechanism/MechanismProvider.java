// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.mechanism;

import dev.crossover.attention.Attention;
import java.util.List;

/// Mechanisms of a jar, found by [java.util.ServiceLoader]: what it lists appears wherever built-in
/// mechanisms do.
///
/// The jar names its provider in
/// `META-INF/services/dev.crossover.attention.mechanism.MechanismProvider`.
public interface MechanismProvider {
  /// Records annotated with [Mechanism].
  List<Class<? extends Attention>> mechanisms();
}
