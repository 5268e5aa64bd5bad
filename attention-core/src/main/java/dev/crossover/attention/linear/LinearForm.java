// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.linear;

/// A linear attention: its feature maps and its denominator.
///
/// @param features makes the feature maps of a plan or session
/// @param denominator guards the division
public record LinearForm(FeatureMap.Factory features, Denominator denominator) {}
