"""The parts of the AWS account around the stores: user pool, security group, database instance."""
