// SPDX-License-Identifier: Apache-2.0
//
// How far a packed weight is from the matrix that it was made of, as a module's outputs feel it.
// Inputs count as uncorrelated: OutputError has them as they are, at the price of a square matrix.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "nibble/base/thread_pool.h"
#include "nibble/format/weight.h"
#include "nibble/tensor/tensor.h"

namespace nibble {

// The mean of x² of each input, by module.
using InputSquares = std::map<std::string, std::vector<double>>;

// The sum of (w - dense)² x² over the matrix: for uncorrelated inputs the mean squared error of an
// output vector. `input_squares` [cols], or empty: 1 for each. Same digits for any number of
// threads.
double weight_error(const Weight& weight, const Tensor& dense,
                    std::span<const double> input_squares, ThreadPool& pool);

// The same of a weight of zeros and inputs of 1: the sum of squares of the matrix.
double weight_energy(const Tensor& dense, ThreadPool& pool);

}  // namespace nibble
