"""The account around the stores: user pool, security group, database instance."""
